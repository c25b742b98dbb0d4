"""Deploys a package through the service API: PORT PACKAGE TARGET, prints the events that were seen and the end."""

import asyncio
import json
import ssl
import sys

# Not its client with threads: see service_api.py.
from websockets.asyncio.client import connect

port, package, target = sys.argv[1:]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
events = []


async def ask(socket, id, action, params):
    request = {"id": id, "type": "request", "action": action, "params": params}
    await socket.send(json.dumps(request))
    while True:
        said = json.loads(await socket.recv())
        if said.get("id") == id:
            return said
        take(said)


def take(said):
    if said.get("event") == "DeploymentProgress":
        events.append(said["data"])


async def deploy():
    async with connect(f"wss://127.0.0.1:{port}/", ssl=context) as socket:
        await ask(socket, "1", "subscribe", {"events": ["DeploymentProgress"]})
        wanted = {"package_path": package, "target_node": target}
        end = await ask(socket, "2", "deploy_package", wanted)
        # The last steps may come after the answer.
        while not events or events[-1]["stage"] not in ("done", "rolled_back", "failed"):
            take(json.loads(await socket.recv()))
        return end


end = asyncio.run(asyncio.wait_for(deploy(), 120))
print(json.dumps({"events": events, "result": end.get("result"), "error": end.get("error")}))
