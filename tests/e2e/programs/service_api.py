"""One request to the service API over TLS and WebSocket: ACTION and its parameters, prints the result."""

import asyncio
import json
import ssl
import sys

# Not its client with threads: one reads while another writes, and over TLS Python 3.11 loses what is written now and then.
from websockets.asyncio.client import connect

port, action, params = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


async def ask():
    async with connect(f"wss://127.0.0.1:{port}/", ssl=context) as socket:
        loaded = json.loads(await socket.recv())
        assert loaded["event"] == "registry_loaded", loaded
        request = {"id": "1", "type": "request", "action": action, "params": params}
        await socket.send(json.dumps(request))
        while True:
            said = json.loads(await socket.recv())
            if said.get("id") == "1":
                return said


said = asyncio.run(asyncio.wait_for(ask(), 20))
if "error" in said and said["error"]:
    sys.exit(said["error"]["message"])
print(json.dumps(said["result"]))
