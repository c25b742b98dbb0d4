"""HTTP/3 as clients use it."""

import sys

from quic import *

# RFC 9001, 4.8, and alerts of RFC 8446, 6.
CRYPTO_ERROR, UNKNOWN_CA, CERTIFICATE_REQUIRED = 0x100, 48, 116


async def exchanges(port):
    async with await dial(port) as client:
        got = await client.fetch("/what?q=1", more=[("x-mine", "1")])
        equal((got.status, got.field("x-origin"), got.field("alt-svc")), (200, "yes", None))
        for told_to_it in ["GET /what?q=1 HTTP/1.1", "x-mine: 1", "X-Forwarded-Proto: https"]:
            assert told_to_it in got.body.decode(), got.body
        got = await client.fetch("/bytes/1234", "HEAD")
        equal((got.status, got.field("content-length"), len(got.body)), (200, "1234", 0))
        got = await client.fetch("/x", "POST", b"abc", more=[("content-length", "3")])
        assert b'"length": 3' in got.body and b"chunked" not in got.body, got.body
        got = await client.fetch("/early")
        equal([dict(head)[":status"] for head in got.interim], ["103"])
        equal(dict(got.interim[0])["link"], "</style.css>; rel=preload")
        equal((got.status, bytes(got.body)), (200, b"late"))
        got = await client.fetch("/trailers", more=[("te", "trailers")])
        equal((bytes(got.body), got.trailers), (b"hello", [("x-end", "yes")]))
        got = await client.fetch("/x", "POST", b"abc", trailers=[("x-last", "1")])
        assert b"x-last: 1" in got.body and b'"length": 3' in got.body, got.body
        # Trailers after no body at all: alone, and in one packet with the head.
        got = await client.fetch("/x", "POST", trailers=[("x-last", "1")])
        assert b"x-last: 1" in got.body and b'"length": 0' in got.body, got.body
        both = head("POST", "/x") + frame(HEADERS, section([("x-last", "2")]))
        got = await client.ended(client.say(both, end=True))
        assert b"x-last: 2" in got.body and b'"length": 0' in got.body, got.body
        for status in [204, 304, 404, 500]:
            got = await client.fetch(f"/status/{status}")
            equal((got.status, len(got.body)), (status, 0))
        equal((await client.fetch(host="elsewhere.test")).status, 421)
        equal((await client.fetch(host="no-route.h3.test")).status, 404)
        equal((await client.fetch(more=[("x", "v" * 70_000)])).status, 431)
        got = await client.fetch("/early-answer", "POST", b"x" * 200_000)
        equal(got.status, 413)
        equal((await client.fetch()).status, 200, "after all that")


async def large(port):
    """Megabytes both ways, with a length and without."""
    size = 5_000_000
    async with await dial(port) as client:
        got = await client.fetch(f"/bytes/{size}")
        equal((len(got.body), got.field("content-length")), (size, str(size)))
        got = await client.fetch(f"/stream/{size}")
        equal((len(got.body), got.field("content-length")), (size, None))
        for more in [[("content-length", str(size))], []]:
            got = await client.fetch("/x", "POST", b"u" * size, more=more)
            assert f'"length": {size}'.encode() in got.body, got.body[:500]


async def many(port):
    """More at once than may be open."""
    async with await dial(port) as client:
        replies = await asyncio.gather(*(client.fetch(f"/bytes/{n}") for n in range(200)))
        equal([(r.status, len(r.body)) for r in replies], [(200, n) for n in range(200)])


async def cancelled(port):
    """Clients that give up, in each way there is."""
    async with await dial(port) as client:
        # An upload: the backend waits for the rest of a body.
        upload = client.say(head("POST", "/up") + frame(DATA, b"1" * 100))
        await asyncio.sleep(0.1)
        client.reset(upload)
        # A download that never ends.
        down = client.say(head(path="/drip"), end=True)
        await client.answered(down)
        client.stop(down)
        # Nothing came yet.
        hung = client.say(head(path="/hang"), end=True)
        await asyncio.sleep(0.1)
        client.stop(hung)
        # Both directions.
        both = client.say(head("POST", "/up") + frame(DATA, b"1" * 100))
        await asyncio.sleep(0.1)
        client.reset(both)
        client.stop(both)
        # A stream of events that says nothing for a while.
        quiet = client.say(head(path="/quiet"), end=True)
        await client.until(lambda: client.reply(quiet).body, "an event")
        client.stop(quiet)
        # No answer to a body that came bit by bit.
        hung = client.say(head("POST", "/hang") + frame(DATA, b"1"))
        await asyncio.sleep(0.1)
        client.send(hung, frame(DATA, b"2"), end=True)
        await asyncio.sleep(0.1)
        client.stop(hung)
        # Before anything was said, and in the middle of a head.
        client.reset(client.say(b"\x01"))
        client.reset(client.say(head()[:-4]))
        equal((await client.fetch()).status, 200)
        hung = client.say(head(path="/hang"), end=True)
        down = client.say(head(path="/drip"), end=True)
        await client.answered(down)
    # The connection is gone with two in flight.
    async with await dial(port) as client:
        equal((await client.fetch()).status, 200)


def forwarded(reply):
    line = next(l for l in reply.body.decode().split("\\r\\n") if l.startswith("X-Forwarded-For"))
    return line.split(": ")[1]


async def moves(port):
    """A client's address changes; whichever worker has it, its connection stays."""

    async def one(number):
        async with await dial(port) as client:
            equal(forwarded(await client.fetch()), "127.0.0.1")
            slow = asyncio.ensure_future(client.fetch("/slow/300"))
            down = asyncio.ensure_future(client.fetch("/stream/1000000"))
            up = client.say(head("POST", "/up"))
            await client.rebind()
            client.send(up, frame(DATA, b"1" * 50_000))
            equal(forwarded(await client.fetch()), "127.0.0.1")
            await client.rebind("127.0.0.2")
            client.send(up, frame(DATA, b"1" * 50_000), end=True)
            # Until its path is validated the server may still use the old one.
            equal(forwarded(await client.fetch()), "127.0.0.2", number)
            assert b'"length": 100000' in (await client.ended(up)).body
            equal((await slow).status, 200)
            equal(len((await down).body), 1_000_000)

    await asyncio.gather(*(one(number) for number in range(6)))


async def limited(port):
    """Three requests a minute, by the address that a client has."""
    async with await dial(port) as client:
        equal([(await client.fetch()).status for _ in range(4)], [200, 200, 200, 429])
        await client.rebind("127.0.0.3")
        equal([(await client.fetch()).status for _ in range(4)], [200, 200, 200, 429])


async def early(port):
    """Sessions are resumed, and nothing is taken before the handshake."""
    async with await dial(port) as client:
        equal((await client.fetch()).status, 200)
        await client.until(lambda: client.tickets, "a ticket")
        ticket = client.tickets[0]
        equal(ticket.max_early_data_size or 0, 0)
    # A client that sends early data all the same.
    ticket.max_early_data_size = 0xFFFFFFFF
    async with await dial(port, ticket=ticket) as client:
        assert not client._quic._handshake_complete
        sid = client.say(head(path="/early-data"), end=True)
        reply = await client.ended(sid)
        assert not client._quic.tls.early_data_accepted
        assert client._quic.tls.session_resumed
        equal(reply.status, 200, "sent again after the handshake")


def goaways(client):
    """The ids that the server's control stream says."""
    for data in client.one_way.values():
        if data[:1] != b"\0":
            continue
        at, ids = 1, []
        while at < len(data):
            kind, at = read_varint(data, at)
            length, at = read_varint(data, at)
            if kind == GOAWAY:
                ids.append(read_varint(data, at)[0])
            at += length
        return ids
    return []


async def drained(port):
    async with await dial(port) as client, await dial(port) as idle:
        equal((await idle.fetch()).status, 200)
        up = client.say(head("POST", "/up") + frame(DATA, b"1" * 1000))
        slow = [client.say(head("POST", "/slow/1500"), end=True) for _ in range(5)]
        await asyncio.sleep(0.2)
        told("begun")
        await client.until(lambda: goaways(client), "a GOAWAY")
        equal(goaways(client), [slow[-1] + 4], "the first that is not answered")
        late = client.say(head("POST", "/late"), end=True)
        equal((await client.ended(late)).reset, REQUEST_REJECTED)
        client.send(up, frame(DATA, b"2" * 1000), end=True)
        for sid in [up, *slow]:
            equal((await client.ended(sid)).status, 200)
        assert b'"length": 2000' in client.reply(up).body
        equal(goaways(idle), [4])
        for each in [client, idle]:
            equal(await each.close_code(), NO_ERROR)


async def slow_to_the_end(port):
    """A client that takes nothing for a while, when all it asked for was answered."""
    size = 300_000
    async with await dial(port) as client:
        sid = client.say(head(path=f"/bytes/{size}"), end=True)
        await client.answered(sid)
        takes, client.datagram_received = client.datagram_received, lambda data, address: None
        told("begun")
        await heard("terminated")
        await asyncio.sleep(4)
        client.datagram_received = takes
        got = await client.ended(sid)
        equal((got.status, len(got.body), got.reset), (200, size, None))
        equal(await client.close_code(), NO_ERROR)


async def shows_certificates(port, host, ca, good, good_key, foreign, foreign_key):
    """A client that shows a certificate of its own, or another one, or none."""
    async with await dial(port, sni=host, cafile=ca, pair=(good, good_key)) as client:
        got = await client.fetch(host=host, more=[("x-forwarded-client-cert", "Hash=00")])
        equal(got.status, 200)
        shown = [l for l in got.body.decode().splitlines() if "forwarded-client-cert" in l.lower()]
        equal(len(shown), 1, shown)
        assert 'Subject="CN=blue"' in shown[0], shown
    # By then the client's side of the handshake is over.
    for pair, alert in [(None, CERTIFICATE_REQUIRED), ((foreign, foreign_key), UNKNOWN_CA)]:
        async with await dial(port, sni=host, cafile=ca, pair=pair) as client:
            client.say(head(host=host), end=True)
            equal(await client.close_code(), CRYPTO_ERROR + alert, pair)


async def undisturbed(port):
    """Long exchanges while the test applies configurations."""
    async with await dial(port) as client:
        down = client.say(head(path="/drip"), end=True)
        up = client.say(head("POST", "/up"))
        reply = await client.answered(down)
        told("begun")
        sent = 0
        words = asyncio.ensure_future(heard("applied"))
        while not words.done():
            client.send(up, frame(DATA, b"1" * 1000))
            sent += 1000
            equal((await client.fetch()).status, 200)
        await words
        assert reply.reset is None and not reply.ended, reply
        size = len(reply.body)
        await client.until(lambda: len(reply.body) > size, "more of it")
        client.stop(down)
        client.send(up, b"", end=True)
        assert f'"length": {sent}'.encode() in (await client.ended(up)).body
        assert client.closed is None


async def renewed(port, old, new):
    """Certificates change under load; connections that are open stay."""
    count, failed = 0, []
    async with await dial(port, cafile=old) as first:
        equal((await first.fetch()).status, 200)

        async def load():
            nonlocal count
            while not os.path.exists(os.path.join(os.environ["WORDS"], "enough")):
                try:
                    async with await dial(port) as client:
                        equal((await client.fetch()).status, 200)
                except Exception as error:
                    failed.append(error)
                count += 1

        tasks = [asyncio.ensure_future(load()) for _ in range(4)]
        while count < 8:
            await asyncio.sleep(0.01)
        told("begun")
        await heard("renewed")
        before = count
        while True:
            try:
                async with await dial(port, cafile=new) as client:
                    equal((await client.fetch()).status, 200)
                break
            except (ConnectionError, asyncio.TimeoutError):
                await asyncio.sleep(0.05)
        while count < before + 8:
            await asyncio.sleep(0.01)
        told("seen")
        await heard("enough")
        await asyncio.gather(*tasks)
        equal((await first.fetch()).status, 200)
    equal(failed, [])


async def killed(port):
    async with await dial(port) as old:
        equal((await old.fetch()).status, 200)
        told("begun")
        await heard("restarted")
        # aioquic keeps the tokens of stateless resets, and looks at none that comes.
        ids = [old._quic._peer_cid, *old._quic._peer_cid_available]
        tokens = [known.stateless_reset_token for known in ids if known.stateless_reset_token]
        came, takes = asyncio.Event(), old.datagram_received

        def watch(data, address):
            if data[-16:] in tokens:
                came.set()
            takes(data, address)

        old.datagram_received = watch
        asked = old.say(head(path="/lost"), end=True)
        await asyncio.wait_for(came.wait(), 3)
        async with await dial(port) as new:
            equal((await new.fetch()).status, 200)
        # Nobody is told a lie.
        reply = old.reply(asked)
        assert reply.status is None and not reply.ended, reply


async def crowded(port):
    """So many handshakes are under way that a client has to prove its address first."""
    datagrams = []
    for _ in range(300):
        config = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name=HOST)
        quic = QuicConnection(configuration=config)
        quic.connect(("127.0.0.1", port), now=0.0)
        datagrams += [data for data, _ in quic.datagrams_to_send(now=0.0)]
    loop = asyncio.get_running_loop()
    crowd, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    for data in datagrams:
        crowd.sendto(data, ("127.0.0.1", port))
        await asyncio.sleep(0)
    asked_twice = 0
    for _ in range(6):
        async with await dial(port) as client:
            asked_twice += client._quic._retry_source_connection_id is not None
            equal((await client.fetch()).status, 200)
    assert asked_twice > 0, "nobody had to prove anything"
    crowd.close()


async def works(port):
    async with await dial(port) as client:
        equal((await client.fetch()).status, 200)


run(sys.modules[__name__])
