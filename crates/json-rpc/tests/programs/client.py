"""The PyPI package websockets: the documented methods, a hub client's discovery, pings and fragments.

Usage: client.py ws://HOST:PORT, or wss://HOST:PORT and the authority to believe.
"""

import asyncio
import json
import ssl
import sys

import websockets


async def main(url, authority=None):
    context = ssl.create_default_context(cafile=authority) if authority else None
    async with websockets.connect(url, ssl=context) as socket:

        async def ask(message):
            await socket.send(message if isinstance(message, (str, list)) else json.dumps(message))
            return json.loads(await socket.recv())

        async def call(method, params):
            answer = await ask({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
            return answer["result"]

        async def follow(method, params=None):
            answer = await ask({"jsonrpc": "2.0", "id": "s", "method": method, "params": params})
            data, done = json.loads(await socket.recv()), json.loads(await socket.recv())
            assert data["params"]["subscription"] == answer["result"] < 2**53
            assert done["params"]["result"]["type"] == "done"
            return data["params"]["result"]

        await (await socket.ping())
        made = await call("registry.register", {"name": "python", "host": "::1", "port": 1, "protocol": "wss"})
        assert made["backend"]["host"] == "::1" and made["backend"]["source"] == "manual", made
        hub = (await follow("_info"))["content"]["backend"]
        listed = await follow(f"{hub}.call", {"method": "registry.list", "params": {}})
        assert [one["name"] for one in listed["content"]["backends"]] == ["python"]
        schema = await follow(f"{hub}.call", {"method": "registry.schema"})
        assert len(schema["content"]["methods"]) == 7
        # One message in three frames.
        text = json.dumps({"jsonrpc": "2.0", "id": 5, "method": "registry.get", "params": ["python"]})
        got = await ask([text[:10], text[10:30], text[30:]])
        assert got["result"]["backend"]["port"] == 1, got
        await call("registry.update", {"name": "python", "port": 2})
        assert (await call("registry.ping", {"name": "python"}))["success"]
        again = await ask({"jsonrpc": "2.0", "id": 6, "method": "registry.register", "params": ["python", "h", 1]})
        assert "UNIQUE constraint failed: backends.name" in again["error"]["message"], again
        assert (await call("registry.delete", {"name": "python"}))["type"] == "backend_deleted"
    print("well")


asyncio.run(main(*sys.argv[1:]))
