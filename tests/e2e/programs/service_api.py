"""One request to the service API over TLS and WebSocket: ACTION and its parameters, prints the result."""

import json
import ssl
import sys

from websockets.sync.client import connect

port, action, params = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
with connect(f"wss://127.0.0.1:{port}/", ssl=context) as socket:
    loaded = json.loads(socket.recv(timeout=20))
    assert loaded["event"] == "registry_loaded", loaded
    request = {"id": "1", "type": "request", "action": action, "params": params}
    socket.send(json.dumps(request))
    while True:
        said = json.loads(socket.recv(timeout=20))
        if said.get("id") == "1":
            break
    if "error" in said and said["error"]:
        sys.exit(said["error"]["message"])
    print(json.dumps(said["result"]))
