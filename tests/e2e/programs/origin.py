"""A backend that speaks HTTP/1.1: it tells what it got, and answers as its path says.

Each request is one line of JSON on the output, with its bytes as they came.
"""

import asyncio
import base64
import hashlib
import json
import sys

PAGE = b"""<!doctype html><title>page</title><script>
async function ask(path) { const r = await fetch(path); return r.status + " " + await r.text() }
function echo(url, message) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url)
    socket.binaryType = "arraybuffer"
    socket.onopen = () => socket.send(message)
    socket.onmessage = event => { socket.close(1000); socket.onclose = end => resolve(
      (typeof event.data == "string" ? event.data : event.data.byteLength + " bytes") + " " + end.code) }
    socket.onclose = end => resolve("closed " + end.code)
  })
}
</script>"""
open_requests = 0


def say(**words):
    print(json.dumps(words), flush=True)


async def read_body(reader, fields):
    body, trailers = b"", []
    if "chunked" in fields.get("transfer-encoding", ""):
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        while (line := await reader.readline()) != b"\r\n":
            trailers.append(line.decode().strip())
    elif length := int(fields.get("content-length", 0)):
        body = await reader.readexactly(length)
    return body, trailers


def response(body, status="200 OK", more=()):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *more, "", ""]
    return "\r\n".join(lines).encode() + body


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


async def websocket(reader, writer, fields):
    accept = hashlib.sha1((fields["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode())
    accept = base64.b64encode(accept.digest()).decode()
    writer.write(
        b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept.encode()
    )
    while True:
        first, second = await reader.readexactly(2)
        length = second & 127
        if length > 125:
            length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
        mask = await reader.readexactly(4)
        data = await reader.readexactly(length)
        data = (int.from_bytes(data, "big") ^ int.from_bytes((mask * (length // 4 + 1))[:length], "big")).to_bytes(length, "big")
        if data == b"break":
            return
        if length < 126:
            size = bytes([length])
        elif length < 0x1_0000:
            size = b"\x7e" + length.to_bytes(2, "big")
        else:
            size = b"\x7f" + length.to_bytes(8, "big")
        writer.write(bytes([first]) + size + data)
        if first & 15 == 8:
            return


async def one(reader, writer):
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except (EOFError, ConnectionError):
        return False
    if b"proxyd-health" in raw:
        writer.write(response(b""))
        return True
    lines = raw.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = lines[0].split(" ")
    fields = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
    if fields.get("upgrade") == "websocket":
        say(raw=raw.decode("latin-1"))
        await websocket(reader, writer, fields)
        return False
    words = (target.split("?")[0] + "/").split("/")
    if words[1] == "early-answer":
        writer.write(response(b"no", "413 Too Large"))
        say(raw=raw.decode("latin-1"))
        return False
    global open_requests
    open_requests += 1
    try:
        body, trailers = await read_body(reader, fields)
        seen = dict(raw=raw.decode("latin-1"), length=len(body), trailers=trailers)
        seen["digest"] = hashlib.sha256(body).hexdigest()
        say(**seen)
        await answer(words, reader, writer, seen, method)
    except (EOFError, ConnectionError, ValueError):
        say(cut=raw.decode("latin-1"))
        return False
    finally:
        open_requests -= 1
    return True


async def answer(words, reader, writer, seen, method):
    name, number = words[1], words[2] if len(words) > 2 else ""
    if name == "page":
        writer.write(response(PAGE, more=["Content-Type: text/html"]))
    elif name == "bytes":
        full = response(b"x" * int(number))
        writer.write(full.split(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == "HEAD" else full)
    elif name == "stream":
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, int(number), 10_000):
            writer.write(chunk(b"y" * min(10_000, int(number) - at)))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
    elif name == "trailers":
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n")
        writer.write(chunk(b"hello") + b"0\r\nX-End: yes\r\n\r\n")
    elif name == "early":
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
        writer.write(response(b"late"))
    elif name == "slow":
        await asyncio.sleep(int(number) / 1000)
        writer.write(response(b"slow"))
    elif name == "status":
        writer.write(response(b"", f"{number} -"))
    elif name == "drip":
        # Until whoever reads goes away.
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(chunk(b"z" * 16_384))
            await writer.drain()
            if reader.at_eof():
                raise ConnectionError
            await asyncio.sleep(0)
    elif name == "quiet":
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"one"))
        await reader.read(1)
        raise ConnectionError
    elif name == "hang":
        await reader.read(1)
        raise ConnectionError
    elif name == "open":
        writer.write(response(str(open_requests - 1).encode()))
    else:
        text = json.dumps(seen).encode()
        writer.write(response(text if method != "HEAD" else b"", more=["X-Origin: yes"]))
    await writer.drain()


async def serve(reader, writer):
    try:
        while await one(reader, writer):
            await writer.drain()
    except (ConnectionError, EOFError, ValueError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    say(port=server.sockets[0].getsockname()[1])
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
