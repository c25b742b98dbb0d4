"""Clients that want to do harm, and one beside them that does not.

Each function attacks for a while; `watched` sees to it that an honest client is served all the time.
"""

import sys

from quic import *

KIB, MIB = 1 << 10, 1 << 20


async def watched(port, attack):
    """Runs an attack while an honest client asks again and again."""
    served, done = 0, asyncio.Event()

    async def honest():
        nonlocal served
        async with await dial(port) as client:
            while not done.is_set() or served < 5:
                equal((await client.fetch("/bytes/100")).status, 200)
                served += 1

    asking = asyncio.ensure_future(honest())
    try:
        await attack
    finally:
        done.set()
        await asking
    async with await dial(port) as client:
        equal((await client.fetch()).status, 200, "after the attack")


async def pour(client, sid, data, times):
    """Sends much, as fast as it is taken; until the other side has had enough."""
    reply = client.reply(sid)
    for _ in range(times):
        if client.closed or reply.stopped is not None:
            return
        client.send(sid, data)
        stream = client._quic._streams.get(sid)
        for _ in range(1000):
            if client.closed or reply.stopped is not None or stream is None:
                return
            if len(stream.sender._buffer) < 512 * KIB:
                break
            await asyncio.sleep(0.005)
        else:
            return


async def huge_head(port):
    """A head that says it is a gigabyte long, and comes."""

    async def attack():
        for _ in range(3):
            async with await dial(port) as client:
                sid = client.say(varint(HEADERS) + varint(1 << 30))
                reply = await client.ended(sid)
                equal((reply.reset, reply.stopped), (EXCESSIVE_LOAD, EXCESSIVE_LOAD))
                # It is the request's error, and not the connection's.
                equal((await client.fetch()).status, 200)

    await watched(port, attack())


async def huge_control(port):
    """The same on the control stream, plain and behind frames that do not fill their length."""
    long = b"\xc0" + (1 << 30).to_bytes(7, "big")
    hidden = varint(CANCEL_PUSH) + varint(10) + b"\0" + varint(UNKNOWN) + long
    starved = frame(MAX_PUSH_ID)

    async def attack():
        for data, code in [
            (varint(UNKNOWN) + long, EXCESSIVE_LOAD),
            (hidden, FRAME_ERROR),
            (starved, FRAME_ERROR),
            (frame(SETTINGS, settings((6, 1)) * 30_000, length=60_000), FRAME_UNEXPECTED),
        ]:
            async with await dial(port) as client:
                equal((await client.fetch()).status, 200)
                client.send(client.control, data)
                await pour(client, client.control, varint(DATA) + varint(1 << 40) + b"x" * MIB, 64)
                equal(hex(await client.close_code()), hex(code))
        for size, code in [(79 * KIB, SETTINGS_ERROR), (MIB, EXCESSIVE_LOAD)]:
            async with await dial(port, begin=False) as client:
                # The same setting again and again; and more than a frame may hold.
                client.begin(settings(*[(6, 1)] * (size // 2)))
                equal(hex(await client.close_code()), hex(code))

    await watched(port, attack())


async def unknown_frames(port):
    """A hundred thousand frames that mean nothing."""
    flood = frame(UNKNOWN, b"x") * 100_000

    async def attack():
        async with await dial(port) as client:
            sid = client.say(flood)
            equal((await client.ended(sid)).reset, EXCESSIVE_LOAD)
            sid = client.say(head("POST") + flood)
            equal((await client.ended(sid)).reset, EXCESSIVE_LOAD)
            equal((await client.fetch()).status, 200)
            client.send(client.control, flood)
            equal(await client.close_code(), EXCESSIVE_LOAD)
        # As many empty frames of payload are a body without payload.
        async with await dial(port) as client:
            sid = client.say(head("POST") + frame(DATA) * 100_000, end=True)
            reply = await client.ended(sid)
            assert reply.status == 200 and b'"length": 0' in reply.body, reply

    await watched(port, attack())


async def limits(port):
    """A head as long as it may be, and one byte more; as many fields, and one more."""
    async with await dial(port) as client:
        for count, status in [(100, 200), (101, 431)]:
            got = await client.fetch(more=[(f"x-{n}", "v") for n in range(count)])
            equal(got.status, status, f"{count} fields")
        # As RFC 9114, 4.2.2, counts: 32 bytes for each field, pseudo fields too.
        used = sum(32 + len(name) + len(value) for name, value in request())
        whole = 64 * KIB - used - 32 - len("x-long")
        for length, status in [(whole, 200), (whole + 1, 431), (whole + 10_000, 431)]:
            got = await client.fetch(more=[("x-long", "v" * length)])
            equal(got.status, status, f"{length - whole} past the limit")
        for length, status in [(16 * KIB, 200), (16 * KIB + 1, 414)]:
            got = await client.fetch("/" + "p" * (length - 1))
            equal(got.status, status, f"a target of {length}")


async def resets(port):
    """Requests that are given up as soon as they are made (CVE-2023-44487)."""

    async def attack():
        for before_head in [False, True]:
            async with await dial(port) as client:
                for number in range(100_000):
                    # Resetting what may not be opened yet would be another error.
                    may_open = lambda: client.closed or client._quic._remote_max_streams_bidi * 4 > 4 * number + 64
                    while not may_open():
                        await asyncio.sleep(0.001)
                    if client.closed:
                        break
                    sid = client.say(b"\x01" if before_head else head(path="/slow/1000"), end=not before_head)
                    if before_head:
                        client.reset(sid)
                    else:
                        client.stop(sid)
                    if number % 20 == 0:
                        await asyncio.sleep(0.001)
                equal(await client.close_code(), EXCESSIVE_LOAD)

    await watched(port, attack())


async def streams(port):
    """As many requests as may be open, and one more: that one waits for its turn."""
    async with await dial(port) as client:
        equal(client._quic._remote_max_streams_bidi, 128)
        open_ones = [client.say(head("POST", "/wait")) for _ in range(128)]
        one_more = client.say(head(path="/one-more"), end=True)
        assert client._quic._streams[one_more].is_blocked
        # Room for more is told of when an eighth of them have ended.
        for sid in open_ones[:17]:
            client.send(sid, b"", end=True)
            equal((await client.ended(sid)).status, 200)
        equal((await client.ended(one_more)).status, 200)
    # One that does not wait is told so by QUIC (RFC 9000, 4.6: STREAM_LIMIT_ERROR).
    async with await dial(port) as client:
        client._quic._remote_max_streams_bidi = 1000
        for _ in range(129):
            client.say(head("POST", "/wait"))
        equal(await client.close_code(), 4)
    # Of one direction there are eight.
    async with await dial(port) as client:
        client._quic._remote_max_streams_uni = 1000
        for _ in range(9):
            client.say_one_way(ENCODER)
        assert await client.close_code() in (4, STREAM_CREATION)


async def stuck(port):
    """Clients that ask for much and read nothing."""

    async def attack():
        clients = []
        for number in range(15):
            # Without any room at all not even the settings of the server go out, and no request is
            # looked at.
            room = 0 if number % 3 == 0 else 500
            client = await dial(port, max_stream_data=room, max_data=room)
            client._quic._local_max_data.used = -(1 << 60)
            for _ in range(100):
                client.say(head(path="/drip"), end=True)
            clients.append(client)
        told("begun")
        await heard("measured")
        for client in clients:
            await client.leave()

    await watched(port, attack())


async def reader(port):
    """Clients that read at first, then no more."""

    async def attack():
        clients = []
        for _ in range(5):
            client = await dial(port, max_stream_data=64 * KIB, max_data=64 * KIB)
            client._quic._local_max_data.used = -(1 << 60)
            for _ in range(20):
                client.say(head(path="/stream/100000000"), end=True)
            clients.append(client)
        told("begun")
        await heard("measured")
        for client in clients:
            await client.leave()

    await watched(port, attack())


def initial(port):
    """The first packet of somebody who never comes back."""
    config = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name=HOST)
    quic = QuicConnection(configuration=config)
    quic.connect(("127.0.0.1", port), now=0.0)
    return [data for data, _ in quic.datagrams_to_send(now=0.0)]


async def initials(port):
    """Beginnings of connections from many addresses, as fast as they go."""
    loop = asyncio.get_running_loop()

    async def attack():
        first = [initial(port) for _ in range(200)]
        for source in range(50):
            transport, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, local_addr=(f"127.0.1.{source + 1}", 0)
            )
            for number in range(200):
                for data in first[(source + number) % 200]:
                    # Another destination id, so another connection as far as anybody can tell; such
                    # a packet cannot be read, and every fourth one is left as it is.
                    data = data if number % 4 == 0 else data[:6] + os.urandom(8) + data[14:]
                    transport.sendto(data, ("127.0.0.1", port))
                if number % 20 == 0:
                    await asyncio.sleep(0)
            transport.close()

    await watched(port, attack())


async def handshakes(port):
    """Handshakes that begin and are never finished."""
    loop = asyncio.get_running_loop()

    async def attack():
        quiet, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        for _ in range(500):
            for data in initial(port):
                quiet.sendto(data, ("127.0.0.1", port))
            await asyncio.sleep(0.001)
        told("begun")
        await heard("measured")
        quiet.close()

    await watched(port, attack())


async def idle(port):
    """Connections that are open and say nothing."""

    async def attack():
        clients = [await dial(port) for _ in range(200)]
        for client in clients[::10]:
            equal((await client.fetch()).status, 200)
        told("begun")
        await heard("measured")
        for client in clients:
            assert client.closed is None
            await client.leave()

    await watched(port, attack())


async def garbage(port):
    """Datagrams that are nothing at all."""
    loop = asyncio.get_running_loop()

    async def attack():
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        for number in range(20_000):
            size = (0, 1, 6, 7, 8, 20, 21, 1200, 1452)[number % 9]
            transport.sendto(os.urandom(size), ("127.0.0.1", port))
            if number % 50 == 0:
                await asyncio.sleep(0)
        transport.close()

    await watched(port, attack())


run(sys.modules[__name__])
