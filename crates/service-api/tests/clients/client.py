"""A client of the service API with the `websockets` package.

client.py PORT CA [CERT KEY]; without a certificate it says the token.
"""

import asyncio
import json
import ssl
import sys

import websockets


async def main(port, ca, pair):
    tls = ssl.create_default_context(cafile=ca)
    headers = {} if pair else {"Authorization": "Bearer s3cret"}
    if pair:
        tls.load_cert_chain(*pair)
    url = f"wss://localhost:{port}/"
    async with websockets.connect(url, ssl=tls, additional_headers=headers) as socket:
        loaded = json.loads(await socket.recv())
        assert loaded["event"] == "registry_loaded" and loaded["data"] == [], loaded
        events = []

        async def ask(action, params={}):
            await socket.send(json.dumps({"id": "7", "type": "request", "action": action, "params": params}))
            while True:
                message = json.loads(await socket.recv())
                if message["type"] == "event":
                    events.append(message)
                    continue
                assert message["id"] == "7" and "error" not in message, message
                assert message["data"] == message["result"], message
                return message["data"]

        await ask("subscribe", {"events": ["ServiceRegistered", "service_state_changed", "ServiceDeregistered"]})
        endpoint = {"name": "http", "address": "127.0.0.1:8080", "protocol": "http", "metadata": {}}
        await ask("register_service", {"name": "web", "version": "1.0", "endpoints": [endpoint], "state": "running"})
        (entry,) = await ask("list_services")
        assert entry["name"] == "web" and entry["endpoints"][0]["address"] == "127.0.0.1:8080", entry
        assert await ask("list_endpoints") == {"web": entry["endpoints"]}
        await ask("service_action", {"name": "web", "action": "restart"})
        await ask("deregister_service", {"name": "web"})
        while not events or events[-1]["event"] != "ServiceDeregistered":
            events.append(json.loads(await socket.recv()))
        states = [e["data"]["new_state"] for e in events if e["event"] == "service_state_changed"]
        assert states == ["starting", "running", "stopping", "stopped", "starting", "running"], states
        assert events[0]["event"] == "ServiceRegistered", events
        assert [e["seq"] for e in events] == sorted(e["seq"] for e in events), events
    print("registered, listed, restarted, told, deregistered")


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
