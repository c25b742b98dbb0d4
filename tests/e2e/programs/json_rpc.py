"""One call of JSON-RPC over wss: PORT CA CERT KEY TOKEN METHOD PARAMS, `-` for what is not there; prints the result."""

import json
import ssl
import sys

from websockets.sync.client import connect

port, ca, cert, key, token, method, params = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
if cert != "-":
    context.load_cert_chain(cert, key)
headers = {} if token == "-" else {"Authorization": f"Bearer {token}"}
try:
    with connect(f"wss://localhost:{port}/", ssl=context, additional_headers=headers) as socket:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": json.loads(params)}
        socket.send(json.dumps(request))
        print(json.dumps(json.loads(socket.recv(timeout=20))["result"]))
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
