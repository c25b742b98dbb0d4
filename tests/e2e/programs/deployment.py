"""Deploys a package through the service API: PORT PACKAGE TARGET, prints the events that were seen and the end."""

import json
import ssl
import sys

from websockets.sync.client import connect

port, package, target = sys.argv[1:]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
events = []
with connect(f"wss://127.0.0.1:{port}/", ssl=context) as socket:
    def ask(id, action, params):
        request = {"id": id, "type": "request", "action": action, "params": params}
        socket.send(json.dumps(request))
        while True:
            said = json.loads(socket.recv(timeout=60))
            if said.get("id") == id:
                return said
            if said["event"] == "DeploymentProgress":
                events.append(said["data"])

    ask("1", "subscribe", {"events": ["DeploymentProgress"]})
    end = ask("2", "deploy_package", {"package_path": package, "target_node": target})
    # The last steps may come after the answer.
    while not events or events[-1]["stage"] not in ("done", "rolled_back", "failed"):
        ask("3", "ping", {})
    print(json.dumps({"events": events, "result": end.get("result"), "error": end.get("error")}))
