"""Asks a registry hub everything its clients ask, and prints what it says, one JSON value a line.

Usage: ask.py ws://HOST:PORT > answers.jsonl

`answers.jsonl` beside this file is what plexus-registry 0.1.1 said, started on an empty database
without a backends file: run this against it to record it anew. A line is {"ask": ..., "say": [...]}.
What differs from run to run is named and not shown: ids, times, hashes, subscriptions; nor are the
texts of schemas.
"""

import asyncio
import json
import re
import sys

import websockets

HUB = "registry-hub"
QUIET = 0.4  # After a last message a hub may send its `done` once more.
TICK = 1.1  # A hub's order knows seconds only.


def call(method, params=None):
    inner = {"method": method} if params is None else {"method": method, "params": params}
    return {"method": f"{HUB}.call", "params": inner}


NEW = {"name": "dev", "host": "127.0.0.1", "port": 8888}
FULL = {**NEW, "name": "full", "protocol": "wss", "description": "d", "namespace": "n"}

ASKED = [
    {"method": "_info"},
    {"method": "_info", "params": {}},
    {"method": "_info", "params": None},
    {"method": "registry_list", "params": {}},
    {"method": "registry_register", "params": NEW},
    {"method": "registry_register", "params": NEW},
    {"method": "registry_register", "params": ["pos", "h", 1, "ws", None, None]},
    {"method": "registry_register", "params": FULL},
    call("registry.register", {**NEW, "name": "through"}),
    {"method": "registry_get", "params": {"name": "dev"}},
    {"method": "registry_get", "params": {"name": "nobody"}},
    {"method": "registry_get", "params": ["dev"]},
    call("registry.get", {"name": "full"}),
    {"method": "registry_update", "params": {"name": "dev", "host": "192.168.1.101", "port": 9}},
    {"method": "registry_update", "params": {"name": "nobody", "port": 9}},
    {"method": "registry_ping", "params": {"name": "dev"}},
    {"method": "registry_ping", "params": {"name": "nobody"}},
    {"method": "registry_get", "params": {"name": "dev"}},
    {"method": "registry_list", "params": {"active_only": False}},
    {"method": "registry_list", "params": []},
    call("registry.list", {}),
    call("registry.list"),
    {"method": "registry_delete", "params": {"name": "pos"}},
    {"method": "registry_delete", "params": {"name": "nobody"}},
    {"method": "registry_reload", "params": {}},
    {"method": f"{HUB}.hash"},
    {"method": f"{HUB}.schema"},
    call(f"{HUB}.schema"),
    call(f"{HUB}.hash"),
    call("registry.schema"),
    call("registry.schema", {"method": "get"}),
    call("registry.nothing", {}),
    call("nowhere.list", {}),
    call("registry.get", {}),
    {"method": f"{HUB}.call", "params": {}},
    {"method": "registry_get", "params": {}},
    {"method": "registry_register", "params": {"name": "bad", "host": "h", "port": 70000}},
    {"method": "registry_register", "params": {"name": "bad", "host": "h", "port": "80"}},
    {"method": "registry.list", "params": {}},
    {"method": "nothing"},
    {"method": "registry_unsubscribe_list", "params": [1]},
    {"method": f"{HUB}.call_unsub", "params": [1]},
    {"method": "_info_unsub", "params": [1]},
    {"method": f"{HUB}.respond", "params": {}},
]

RAW = [
    "{",
    "[]",
    "1",
    '{"id":1,"method":"_info"}',
    '{"jsonrpc":"1.0","id":1,"method":"_info"}',
    '{"jsonrpc":"2.0","id":1}',
    '{"jsonrpc":"2.0","id":"text","method":"_info"}',
    '{"jsonrpc":"2.0","id":null,"method":"nothing"}',
    '{"jsonrpc":"2.0","method":"nothing"}',
    '[{"jsonrpc":"2.0","id":1,"method":"nothing"},{"jsonrpc":"2.0","id":2,"method":"_info_unsub","params":[1]}]',
    '[1]',
]

CHANGING = {
    "subscription": "S", "timestamp": "T", "id": "U", "registered_at": "T", "created_at": "T",
    "updated_at": "T", "last_seen": "T", "plexus_hash": "H", "hash": "H", "self_hash": "H",
    "children_hash": "H",
}


TEXTS = {"description", "returns", "version"}
SCHEMATIC = [{"methods"}, {"streaming"}, {"namespace", "hash"}, {"default"}, {"type", "description"}]


def steady(value, key=None):
    """The value without what differs from run to run."""
    if isinstance(value, dict):
        if any(kind <= set(value) for kind in SCHEMATIC):
            value = {name: one for name, one in value.items() if name not in TEXTS}
        return {name: steady(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [steady(one) for one in value]
    if key in CHANGING and (key != "id" or (isinstance(value, str) and "-" in value)):
        return CHANGING[key]
    if key == "value" and isinstance(value, str) and re.fullmatch("[0-9a-f]{16}", value):
        return "H"
    if key == "result" and isinstance(value, int) and not isinstance(value, bool):
        return "S"
    return value


async def heard(socket):
    """Everything that comes until it is quiet."""
    said = []
    while True:
        try:
            said.append(json.loads(await asyncio.wait_for(socket.recv(), QUIET)))
        except asyncio.TimeoutError:
            return said


async def main(url):
    async with websockets.connect(url) as socket:
        for number, request in enumerate(ASKED):
            await socket.send(json.dumps({"jsonrpc": "2.0", "id": number, **request}))
            print(json.dumps({"ask": request, "say": steady(await heard(socket))}))
            if "register" in json.dumps(request):
                await asyncio.sleep(TICK)
        for text in RAW:
            await socket.send(text)
            print(json.dumps({"ask": text, "say": steady(await heard(socket))}))


asyncio.run(main(sys.argv[1]))
