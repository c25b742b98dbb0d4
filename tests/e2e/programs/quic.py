"""A client that speaks HTTP/3 by hand, over aioquic's QUIC, so that it can say what is wrong.

Every program beside this one runs a function of its own named by its first argument, and ends with
0 if that did not raise.
"""

import asyncio
import inspect
import os
import ssl
import sys

import pylsqpack
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

HOST = "h3.test"
PATIENCE = 20

DATA, HEADERS, CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID = 0, 1, 3, 4, 5, 7, 13
CONTROL, PUSH, ENCODER, DECODER = 0, 1, 2, 3
UNKNOWN = 0x1F * 7 + 0x21

NO_ERROR, STREAM_CREATION, CLOSED_CRITICAL, FRAME_UNEXPECTED = 0x100, 0x103, 0x104, 0x105
FRAME_ERROR, EXCESSIVE_LOAD, ID_ERROR, SETTINGS_ERROR = 0x106, 0x107, 0x108, 0x109
MISSING_SETTINGS, REQUEST_REJECTED, REQUEST_CANCELLED = 0x10A, 0x10B, 0x10C
MESSAGE_ERROR, QPACK_FAILED = 0x10E, 0x200


def varint(n):
    if n < 0x40:
        return bytes([n])
    if n < 0x4000:
        return (n | 0x4000).to_bytes(2, "big")
    if n < 0x40000000:
        return (n | 0x80000000).to_bytes(4, "big")
    return (n | 0xC000000000000000).to_bytes(8, "big")


def read_varint(data, at):
    size = 1 << (data[at] >> 6)
    if len(data) < at + size:
        raise IndexError
    return int.from_bytes(data[at : at + size], "big") & ((1 << (8 * size - 2)) - 1), at + size


def frame(kind, payload=b"", length=None):
    return varint(kind) + varint(len(payload) if length is None else length) + payload


def settings(*pairs):
    return frame(SETTINGS, b"".join(varint(k) + varint(v) for k, v in pairs))


def prefixed(flags, bits, n):
    mask = (1 << bits) - 1
    if n < mask:
        return bytes([flags | n])
    out, n = [flags | mask], n - mask
    while n >= 128:
        out.append(n % 128 + 128)
        n //= 128
    return bytes(out + [n])


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode()


def section(fields):
    """Fields as literals, so that any bytes can be said."""
    out = b"\0\0"
    for name, value in fields:
        name, value = as_bytes(name), as_bytes(value)
        out += prefixed(0x20, 3, len(name)) + name + prefixed(0, 7, len(value)) + value
    return out


def request(method="GET", path="/", host=HOST, more=()):
    pseudo = [(":method", method), (":scheme", "https"), (":authority", host), (":path", path)]
    return pseudo + list(more)


def head(*args, **kwargs):
    """A HEADERS frame."""
    return frame(HEADERS, section(request(*args, **kwargs)))


class Reply:
    def __init__(self):
        self.raw, self.fields, self.trailers, self.interim = b"", None, None, []
        self.body, self.ended, self.reset, self.stopped = bytearray(), False, None, None

    @property
    def status(self):
        return int(dict(self.fields)[":status"]) if self.fields else None

    def field(self, name):
        return next((v for k, v in self.fields or [] if k == name), None)

    def __repr__(self):
        reset = None if self.reset is None else hex(self.reset)
        return f"<{self.status} {len(self.body)} bytes, ended {self.ended}, reset {reset}>"

    def take(self, data):
        self.raw += data
        while True:
            try:
                kind, at = read_varint(self.raw, 0)
                length, at = read_varint(self.raw, at)
            except IndexError:
                return
            payload = self.raw[at : at + length]
            if kind == DATA and self.raw[at:]:
                # In pieces, so that a large body is not copied again and again.
                self.body += payload
                left = length - len(payload)
                self.raw = self.raw[at + length :]
                if left:
                    self.raw = varint(DATA) + varint(left)
                    return
                continue
            if len(payload) < length:
                return
            self.raw = self.raw[at + length :]
            if kind == HEADERS:
                decoder = pylsqpack.Decoder(0, 0)
                _, fields = decoder.feed_header(0, payload)
                fields = [(k.decode(), v.decode()) for k, v in fields]
                status = dict(fields).get(":status")
                if status is None:
                    self.trailers = fields
                elif status.startswith("1"):
                    self.interim.append(fields)
                else:
                    self.fields = fields


class Client(QuicConnectionProtocol):
    def __init__(self, quic):
        super().__init__(quic)
        self.replies, self.closed, self.changed = {}, None, asyncio.Condition()
        self.one_way, self.pushed, self.resumed = {}, None, None
        self.settings_first = True

    def quic_event_received(self, event):
        sid = getattr(event, "stream_id", None)
        if isinstance(event, events.StreamDataReceived) and sid % 4 == 3:
            self.one_way[sid] = self.one_way.get(sid, b"") + event.data
        elif isinstance(event, events.StreamDataReceived):
            reply = self.reply(sid)
            reply.take(event.data)
            reply.ended = reply.ended or event.end_stream
        elif isinstance(event, events.StreamReset):
            self.reply(sid).reset = event.error_code
        elif isinstance(event, events.StopSendingReceived):
            self.reply(sid).stopped = event.error_code
        elif isinstance(event, events.ConnectionTerminated):
            self.closed = event
        else:
            return
        asyncio.ensure_future(self.tell())

    async def tell(self):
        async with self.changed:
            self.changed.notify_all()

    def reply(self, sid):
        return self.replies.setdefault(sid, Reply())

    async def until(self, done, what, patience=PATIENCE):
        async def wait():
            async with self.changed:
                await self.changed.wait_for(done)

        try:
            await asyncio.wait_for(wait(), patience)
        except asyncio.TimeoutError:
            raise AssertionError(f"waited too long for {what}: {self.closed} {self.replies}") from None

    def send(self, sid, data, end=False):
        try:
            self._quic.send_stream_data(sid, data, end)
        except RuntimeError:
            pass  # The other side wants no more.
        self.transmit()

    def say(self, data=b"", end=False):
        """Begins a request's stream with these bytes."""
        sid = self._quic.get_next_available_stream_id()
        self.send(sid, data, end)
        return sid

    def say_one_way(self, kind, data=b"", end=False):
        sid = self._quic.get_next_available_stream_id(is_unidirectional=True)
        self.send(sid, varint(kind) + data, end)
        return sid

    def begin(self, data=settings()):
        self.control = self.say_one_way(CONTROL, data)

    def reset(self, sid, code=REQUEST_CANCELLED):
        self._quic.reset_stream(sid, code)
        self.transmit()

    def stop(self, sid, code=REQUEST_CANCELLED):
        self._quic.stop_stream(sid, code)
        self.transmit()

    async def ended(self, sid, patience=PATIENCE):
        """Waits for the end of a reply, by whatever means."""
        reply = self.reply(sid)
        done = lambda: reply.ended or reply.reset is not None or self.closed
        await self.until(done, f"stream {sid}", patience)
        return reply

    async def answered(self, sid, patience=PATIENCE):
        reply = self.reply(sid)
        await self.until(lambda: reply.fields or self.closed, f"a head on {sid}", patience)
        return reply

    async def fetch(self, path="/", method="GET", body=None, trailers=None, patience=PATIENCE, **more):
        sid = self.say(head(method, path, **more), end=body is None and trailers is None)
        if body is not None:
            self.send(sid, frame(DATA, body), end=trailers is None)
        if trailers is not None:
            self.send(sid, frame(HEADERS, section(trailers)), end=True)
        reply = await self.ended(sid, patience)
        assert self.closed is None, f"closed: {self.closed}"
        return reply

    async def close_code(self, patience=PATIENCE):
        """How the other side closes the connection."""
        await self.until(lambda: self.closed, "the connection to close", patience)
        return self.closed.error_code

    async def rebind(self, local="127.0.0.1"):
        """Goes on from another socket."""
        old = self._transport
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(local, 0))
        old.abort()

    def connection_lost(self, _):
        pass

    async def leave(self):
        self.close()
        self.transmit()
        await asyncio.sleep(0)
        self._transport.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.leave()


async def dial(port, sni=HOST, cafile=None, begin=True, ticket=None, local="127.0.0.1", pair=None, **more):
    config = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name=sni, **more)
    if pair:
        config.load_cert_chain(*pair)
    if cafile:
        config.load_verify_locations(cafile)
    else:
        config.verify_mode = ssl.CERT_NONE
    config.session_ticket = ticket
    tickets = []
    quic = QuicConnection(configuration=config, session_ticket_handler=tickets.append)
    loop = asyncio.get_running_loop()
    _, client = await loop.create_datagram_endpoint(lambda: Client(quic), local_addr=(local, 0))
    client.tickets = tickets
    client.connect(("127.0.0.1", port))
    if ticket is None:
        await asyncio.wait_for(client.wait_connected(), PATIENCE)
    if begin:
        client.begin()
    return client


def equal(got, expected, what=""):
    assert got == expected, f"{what}: {got!r} is not {expected!r}"


def told(line):
    """Tells the test about something."""
    print(line, flush=True)


async def heard(line):
    """Waits until the test says so, in a file."""
    path = os.environ["WORDS"]
    for _ in range(PATIENCE * 50):
        if os.path.exists(os.path.join(path, line)):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"the test does not say {line}")


def run(module):
    name, *arguments = sys.argv[1:]
    function = getattr(module, name)
    assert inspect.iscoroutinefunction(function), name
    asyncio.run(function(*(int(a) if a.isdigit() else a for a in arguments)))
