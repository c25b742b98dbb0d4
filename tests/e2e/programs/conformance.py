"""What RFC 9114 has a server refuse, and what it has it ignore.

`requests` and `connections` take the port of proxyd; each line of a table is a connection of its
own. Paths say which line asked, so that the test can see what reached the backend.
"""

import sys

from quic import *


def fields(path, *pairs):
    """Fields after a good start, for a path."""
    return frame(HEADERS, section(request(path=path, more=pairs)))


def raw_fields(*pairs):
    return frame(HEADERS, section(pairs))


METHOD, SCHEME, HOSTNAME = (":method", "GET"), (":scheme", "https"), (":authority", HOST)
HUFFMAN_PATH = bytes([0x2C, 0xB9, 0x58, 0xD3, 0x3F])


def malformed():
    """Requests that must not go on; a 4xx is as good as a reset (RFC 9114, 4.1.2)."""
    path = lambda name: (":path", f"/bad/{name}")
    for name, value in [
        ("connection", "close"),
        ("keep-alive", "5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("X-Upper", "1"),
        ("x space", "1"),
        ("x", "a\r\nb: c"),
        ("x", "a\nb"),
        ("x", "a\0b"),
        ("x", " a"),
        ("x", "a "),
        ("", "1"),
        ("x:y", "1"),
        (b"x\xff", "1"),
    ]:
        yield f"field {name} {value!r}", fields("/bad/field", (name, value))
    yield "no :method", raw_fields(SCHEME, HOSTNAME, path("a"))
    yield "no :scheme", raw_fields(METHOD, HOSTNAME, path("b"))
    yield "no :path", raw_fields(METHOD, SCHEME, HOSTNAME)
    yield "no :authority", raw_fields(METHOD, SCHEME, path("c"))
    yield "nothing", raw_fields()
    yield "empty :path", raw_fields(METHOD, SCHEME, HOSTNAME, (":path", ""))
    yield "empty :authority", raw_fields(METHOD, SCHEME, (":authority", ""), path("d"))
    yield "empty host", raw_fields(METHOD, SCHEME, ("host", ""), path("e"))
    yield "a :path that is none", raw_fields(METHOD, SCHEME, HOSTNAME, (":path", "bad/f"))
    yield "an absolute :path", raw_fields(METHOD, SCHEME, HOSTNAME, (":path", f"https://{HOST}/bad/g"))
    yield "a star", raw_fields(METHOD, SCHEME, HOSTNAME, (":path", "*"))
    yield "space in :path", raw_fields(METHOD, SCHEME, HOSTNAME, (":path", "/bad/h HTTP/1.1"))
    yield "line end in :path", raw_fields(METHOD, SCHEME, HOSTNAME, (":path", "/bad/i\r\nx: y"))
    yield "line end in :method", raw_fields((":method", "GET /bad/j HTTP/1.1\r\nx:"), SCHEME, HOSTNAME, path("j"))
    yield "line end in :authority", raw_fields(METHOD, SCHEME, (":authority", f"{HOST}\r\nx: y"), path("k"))
    yield "user in :authority", raw_fields(METHOD, SCHEME, (":authority", f"me@{HOST}"), path("l"))
    for number, pair in enumerate([METHOD, SCHEME, HOSTNAME]):
        yield f"twice {pair[0]}", raw_fields(METHOD, SCHEME, HOSTNAME, path(f"m{number}"), pair)
    yield "two paths", raw_fields(METHOD, SCHEME, HOSTNAME, path("n"), path("o"))
    yield "two paths, one in code", frame(
        HEADERS, section([METHOD, SCHEME, HOSTNAME, path("p")]) + HUFFMAN_PATH + b"\x02/q"
    )
    yield "two hosts", fields("/bad/r", ("host", HOST), ("host", HOST))
    yield "another host", fields("/bad/s", ("host", "other.test"))
    yield "late :path", raw_fields(METHOD, SCHEME, HOSTNAME, ("x", "1"), path("t"))
    yield "late :authority", raw_fields(METHOD, SCHEME, path("u"), ("x", "1"), HOSTNAME)
    yield "late :method", raw_fields(SCHEME, HOSTNAME, path("v"), ("x", "1"), METHOD)
    yield ":status", raw_fields(METHOD, SCHEME, HOSTNAME, path("w"), (":status", "200"))
    yield ":unknown", raw_fields(METHOD, SCHEME, HOSTNAME, path("x"), (":unknown", "1"))
    yield ":protocol without CONNECT", raw_fields(
        METHOD, SCHEME, HOSTNAME, path("y"), (":protocol", "websocket")
    )
    for length in ["-1", "+2", "2x", "1, 2", "", "99999999999999999999"]:
        yield f"length {length}", fields("/bad/length", ("content-length", length))
    yield "two lengths", fields("/bad/lengths", ("content-length", "1"), ("content-length", "2"))
    yield "length without body", fields("/bad/z", ("content-length", "2"))
    yield "CONNECT", raw_fields((":method", "CONNECT"), (":authority", HOST))
    yield "CONNECT with a path", raw_fields((":method", "CONNECT"), SCHEME, HOSTNAME, path("connect"))
    yield "TRACE", raw_fields((":method", "TRACE"), SCHEME, HOSTNAME, path("trace"))


def bodies():
    """The same of what follows a head."""
    post = lambda name, *more: frame(
        HEADERS, section(request("POST", f"/cut/{name}", more=list(more)))
    )
    yield "less than said", post("a", ("content-length", "9")) + frame(DATA, b"1234"), None
    yield "more than said", post("b", ("content-length", "2")) + frame(DATA, b"1234"), None
    yield "more in a second frame", (
        post("c", ("content-length", "2")) + frame(DATA, b"12") + frame(DATA, b"3")
    ), None
    trailing = frame(HEADERS, section([(":path", "/cut/d")]))
    yield "a pseudo field in trailers", post("d") + frame(DATA, b"1") + trailing, None
    for name in ["content-length", "transfer-encoding", "host", "Upper", "x\r\ny"]:
        trailing = frame(HEADERS, section([(name, "1")]))
        yield f"{name} in trailers", post("e") + frame(DATA, b"1") + trailing, None
    yield "DATA after trailers", (
        post("f") + frame(DATA, b"1") + frame(HEADERS, section([("x", "1")])) + frame(DATA, b"2")
    ), FRAME_UNEXPECTED
    yield "two trailers", (
        post("g") + frame(DATA, b"1") + 2 * frame(HEADERS, section([("x", "1")]))
    ), FRAME_UNEXPECTED
    yield "a frame cut short", post("h") + frame(DATA, b"123", length=9), FRAME_ERROR
    yield "a frame without its payload", post("i") + frame(DATA, b"", length=9), FRAME_ERROR
    yield "half a length", post("j") + b"\0\x40", FRAME_ERROR


async def requests(port):
    for what, data in malformed():
        async with await dial(port) as client:
            reply = await client.ended(client.say(data, end=True))
            refused = reply.status is not None and 400 <= reply.status < 500
            assert refused or reply.reset is not None or client.closed, f"{what}: {reply}"
            if reply.reset is not None:
                equal(reply.reset, MESSAGE_ERROR, what)
            # One stream of it is malformed, the connection is not.
            if not client.closed:
                equal((await client.fetch(f"/good")).status, 200, what)
            else:
                raise AssertionError(f"{what}: {client.closed}")
    for what, data, code in bodies():
        for pause in [False, True]:
            async with await dial(port) as client:
                # Once in one packet, and once so that the proxy sees each part alone.
                sid = client.say(b"" if pause else data, end=not pause)
                if pause:
                    for at in range(0, len(data), 16):
                        client.send(sid, data[at : at + 16])
                        await asyncio.sleep(0.01)
                    client.send(sid, b"", end=True)
                if code is not None:
                    equal(await client.close_code(), code, what)
                    continue
                reply = await client.ended(sid)
                refused = reply.status is not None and reply.status >= 400
                # What comes after a whole body is never read.
                refused = refused or (what.startswith("more") and b'"length": 2' in reply.body)
                assert refused or reply.reset is not None, f"{what}: {reply}"
                equal((await client.fetch("/good")).status, 200, what)


def broken():
    """What is said on streams, and how the connection ends: (control, request, more), code."""
    get = head(path="/good")
    control = lambda data: lambda client: client.send(client.control, data)
    ask = lambda data, end=False: lambda client: client.say(data, end)
    other = lambda kind, data=b"", end=False: lambda client: client.say_one_way(kind, data, end)
    yield "control stream ends", lambda c: c.send(c.control, b"", end=True), CLOSED_CRITICAL
    yield "control stream is reset", lambda c: c.reset(c.control, NO_ERROR), CLOSED_CRITICAL
    yield "second control stream", other(CONTROL, settings()), STREAM_CREATION
    yield "second encoder stream", lambda c: (other(ENCODER)(c), other(ENCODER)(c)), STREAM_CREATION
    yield "second decoder stream", lambda c: (other(DECODER)(c), other(DECODER)(c)), STREAM_CREATION
    yield "push stream", other(PUSH, varint(0)), STREAM_CREATION
    yield "SETTINGS twice", control(settings()), FRAME_UNEXPECTED
    yield "DATA on control", control(frame(DATA, b"x")), FRAME_UNEXPECTED
    yield "HEADERS on control", control(get), FRAME_UNEXPECTED
    yield "PUSH_PROMISE on control", control(frame(PUSH_PROMISE, b"\0")), FRAME_UNEXPECTED
    for kind in [2, 6, 8, 9]:
        yield f"frame {kind} of HTTP/2 on control", control(frame(kind, b"\0")), FRAME_UNEXPECTED
        yield f"frame {kind} of HTTP/2", ask(frame(kind, b"\0")), FRAME_UNEXPECTED
    for kind in [CANCEL_PUSH, GOAWAY, MAX_PUSH_ID]:
        yield f"frame {kind}, empty", control(frame(kind)), FRAME_ERROR
        yield f"frame {kind}, short", control(frame(kind, b"\xc0")), FRAME_ERROR
        yield f"frame {kind}, long", control(frame(kind, b"\0\0\0")), FRAME_ERROR
    yield "DATA first", ask(frame(DATA, b"x")), FRAME_UNEXPECTED
    for kind in [CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID]:
        yield f"frame {kind} on a request", ask(frame(kind, b"\0")), FRAME_UNEXPECTED
        yield f"frame {kind} after a head", ask(get + frame(kind, b"\0")), FRAME_UNEXPECTED
    yield "a head cut short", ask(get[:-3], end=True), FRAME_ERROR
    for code in range(2, 6):
        yield f"setting {code} of HTTP/2", None, SETTINGS_ERROR
    yield "static entry 99", ask(frame(HEADERS, b"\0\0\xff\x24"), True), QPACK_FAILED
    yield "dynamic entry", ask(frame(HEADERS, b"\0\0\x80"), True), QPACK_FAILED
    yield "dynamic name", ask(frame(HEADERS, b"\0\0\x40\x01x"), True), QPACK_FAILED
    yield "entry after the base", ask(frame(HEADERS, b"\0\0\x10"), True), QPACK_FAILED
    yield "insert count", ask(frame(HEADERS, b"\x02" + section(request())[1:]), True), QPACK_FAILED
    yield "value cut short", ask(frame(HEADERS, section(request())[:-1]), True), QPACK_FAILED
    yield "endless integer", ask(frame(HEADERS, b"\0\0" + b"\xff" * 30), True), QPACK_FAILED
    yield "bad Huffman", ask(frame(HEADERS, b"\0\0\x51\x81\x00"), True), QPACK_FAILED
    yield "no prefix", ask(frame(HEADERS, b""), True), QPACK_FAILED


async def connections(port):
    for what, act, code in broken():
        first = settings() if act else settings((int(what.split()[1]), 1))
        async with await dial(port, begin=False) as client:
            client.begin(first)
            if act:
                # So that everything before has arrived.
                equal((await client.fetch("/good")).status, 200, what)
                act(client)
            equal(hex(await client.close_code()), hex(code), what)
    for what, first, code in [
        ("no SETTINGS", frame(MAX_PUSH_ID, b"\0"), MISSING_SETTINGS),
        ("something unknown before SETTINGS", frame(UNKNOWN, b"\0"), MISSING_SETTINGS),
        ("a setting twice", settings((6, 1), (6, 2)), SETTINGS_ERROR),
    ]:
        async with await dial(port, begin=False) as client:
            client.begin(first)
            equal(hex(await client.close_code()), hex(code), what)


async def ignored(port):
    """What nobody knows means nothing (RFC 9114, 9)."""
    async with await dial(port, begin=False) as client:
        client.begin(settings((0x1F * 3 + 0x21, 7), (0x4242, 9), (6, 65536)))
        client.send(client.control, frame(UNKNOWN, b"anything") + frame(0xF0700, b"\0u=1"))
        client.send(client.control, frame(MAX_PUSH_ID, b"\x07") + frame(MAX_PUSH_ID, b"\x40\x08"))
        client.say_one_way(UNKNOWN, b"what is this")
        client.say_one_way(0x4343, b"", end=True)
        client.say_one_way(ENCODER)
        client.say_one_way(DECODER)
        sid = client.say(
            frame(UNKNOWN, b"1") + head("POST", "/good/unknown") + frame(UNKNOWN, b"2" * 9)
            + frame(DATA, b"ab") + frame(DATA) + frame(UNKNOWN) + frame(DATA, b"cd")
            + frame(HEADERS, section([("x-end", "1")])) + frame(UNKNOWN, b"3"),
            end=True,
        )
        reply = await client.ended(sid)
        equal(reply.status, 200, (reply, client.closed))
        assert b'"length": 4' in reply.body and b"x-end" in reply.body, reply.body
    # Settings may come late, and so may everything else: byte by byte.
    async with await dial(port, begin=False) as client:
        sid = client.say()
        for byte in head(path="/good/bytes"):
            client.send(sid, bytes([byte]))
            await asyncio.sleep(0)
        client.send(sid, b"", end=True)
        equal((await client.ended(sid)).status, 200, "byte by byte")
        client.begin()
        equal((await client.fetch("/good/later")).status, 200)
    # Streams of one direction may end before they say what they are.
    async with await dial(port) as client:
        quiet = client._quic.get_next_available_stream_id(is_unidirectional=True)
        client.send(quiet, b"", end=True)
        equal((await client.fetch("/good/quiet")).status, 200)


async def clients_can(port):
    """What is allowed and easily taken for wrong."""
    async with await dial(port) as client:
        for more in [[("te", "trailers")], [("host", HOST)], [("cookie", "a=1"), ("cookie", "b=2")]]:
            equal((await client.fetch("/good/allowed", more=more)).status, 200, more)
        only_host = raw_fields(METHOD, SCHEME, ("host", HOST), (":path", "/no"))
        assert (await client.ended(client.say(only_host, end=True))).reset == MESSAGE_ERROR
        only_host = raw_fields(METHOD, SCHEME, (":path", "/good/host"), ("host", HOST))
        equal((await client.ended(client.say(only_host, end=True))).status, 200)
        equal((await client.fetch(method="OPTIONS", path="*")).status, 200)


run(sys.modules[__name__])
