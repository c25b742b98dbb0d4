"""Chromium, without a head and without a driver: it is told what to do through two pipes.

`over PROTOCOL PORT HASH` loads a page and says what the page got; the protocol is what the browser
itself says that it used.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile

PATIENCE = 60
SWITCHES = """--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run
 --disable-background-networking --disable-component-update --disable-sync --disable-extensions
 --disable-default-apps --disable-domain-reliability --no-default-browser-check --mute-audio
 --disable-features=OptimizationHints,MediaRouter,Translate,AutofillServerCommunication
 --remote-debugging-pipe about:blank""".split()


class Browser:
    def __init__(self, more):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.log = os.path.join(self.profile.name, "net-log")
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        # The browser reads commands from 3 and writes events to 4.
        keep = [os.dup(fd) for fd in (theirs_in, theirs_out)]
        command = f'exec "$@" 3<&{keep[0]} 4>&{keep[1]}'
        switches = [*SWITCHES, f"--user-data-dir={self.profile.name}", f"--log-net-log={self.log}"]
        self.process = subprocess.Popen(
            ["bash", "-c", command, "chromium", "chromium", *switches, *more],
            pass_fds=keep, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        for fd in (theirs_in, theirs_out, *keep):
            os.close(fd)
        self.out, self.ours_in = ours_out, ours_in
        self.answers, self.events, self.last = {}, [], 0

    async def read(self):
        reader = asyncio.StreamReader(limit=1 << 26)
        loop = asyncio.get_running_loop()
        protocol = asyncio.StreamReaderProtocol(reader)
        await loop.connect_read_pipe(lambda: protocol, os.fdopen(self.ours_in, "rb"))
        while True:
            try:
                message = json.loads((await reader.readuntil(b"\0"))[:-1])
            except asyncio.IncompleteReadError:
                return
            if future := self.answers.pop(message.get("id"), None):
                future.set_result(message)
            else:
                self.events.append(message)

    async def call(self, method, session=None, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        answer = self.answers[self.last] = asyncio.get_running_loop().create_future()
        os.write(self.out, json.dumps(message).encode() + b"\0")
        said = await asyncio.wait_for(answer, PATIENCE)
        assert "error" not in said, said
        return said["result"]

    async def open(self):
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = await self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = session["sessionId"]
        for domain in ["Network", "Page"]:
            await self.call(f"{domain}.enable", self.session)

    async def go(self, url):
        got = await self.call("Page.navigate", self.session, url=url)
        assert "errorText" not in got, got
        for _ in range(PATIENCE * 100):
            if any(event["method"] == "Page.loadEventFired" for event in self.events):
                return
            await asyncio.sleep(0.01)
        raise AssertionError("the page does not load")

    async def evaluate(self, expression):
        got = await self.call(
            "Runtime.evaluate", self.session, expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in got, got
        return got["result"].get("value")

    def protocols(self):
        responses = [e["params"] for e in self.events if e["method"] == "Network.responseReceived"]
        return {r["response"]["url"].split("/", 3)[3]: r["response"]["protocol"] for r in responses}

    async def close(self):
        await self.call("Browser.close")
        await asyncio.to_thread(self.process.wait, PATIENCE)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.profile.cleanup()


def equal(got, expected, what=""):
    assert got == expected, f"{what}: {got!r} is not {expected!r}"


async def over(protocol, port, key):
    host = "h3.test"
    # What it resolves is ours, and nothing else is there at all.
    more = [
        f"--host-resolver-rules=MAP {host}:443 127.0.0.1:{port},MAP * ~NOTFOUND",
        f"--ignore-certificate-errors-spki-list={key}",
    ]
    if protocol == "h3":
        more.append(f"--origin-to-force-quic-on={host}:443")
    else:
        more.append("--disable-quic")
    browser = Browser(more)
    reading = asyncio.ensure_future(browser.read())
    try:
        await browser.open()
        await browser.go(f"https://{host}/page")
        equal(await browser.evaluate("ask('/bytes/5')"), "200 xxxxx")
        length = "fetch('/stream/2000000').then(r => r.arrayBuffer()).then(b => b.byteLength)"
        equal(await browser.evaluate(length), 2_000_000)
        post = "fetch('/x', {method: 'POST', body: 'u'.repeat(1e6)}).then(r => r.json()).then(j => j.length)"
        equal(await browser.evaluate(post), 1_000_000)
        used = browser.protocols()
        equal({used[path] for path in ["page", "bytes/5", "stream/2000000", "x"]}, {protocol}, used)
        if protocol == "h3":
            # More than the frames that a control stream has for free: each has its priority told.
            all_of_them = "Promise.all([...Array(400).keys()].map(n => fetch('/bytes/' + n, {priority: n % 2 ? 'low' : 'high'}).then(r => r.text()).then(t => t.length == n))).then(a => a.every(x => x))"
            equal(await browser.evaluate(all_of_them), True)
        else:
            equal(await browser.evaluate(f"echo('wss://{host}/socket', 'hello')"), "hello 1000")
            large = f"echo('wss://{host}/socket', new Uint8Array(100000))"
            equal(await browser.evaluate(large), "100000 bytes 1000")
            # A backend that goes in the middle.
            equal(await browser.evaluate(f"echo('wss://{host}/socket', 'break')"), "closed 1006")
        await browser.close()
        with open(browser.log) as file:
            log = file.read()
        if protocol == "h2":
            # RFC 8441: the handshake is a stream of the connection that there was.
            assert ":protocol: websocket" in log, "no extended CONNECT was sent"
    finally:
        reading.cancel()
        browser.end()


asyncio.run(over(*sys.argv[2:]))
