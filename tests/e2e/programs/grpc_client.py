"""A gRPC client: every kind of call, every kind of end."""

import sys
import threading

import grpc

function, port, *arguments = sys.argv[1:]
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
PATIENCE = 20
if arguments:
    # With TLS, by the name that the certificate has.
    with open(arguments[0], "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    channel = grpc.secure_channel(
        f"127.0.0.1:{port}", credentials, OPTIONS + [("grpc.ssl_target_name_override", "h3.test")]
    )
else:
    channel = grpc.insecure_channel(
        f"127.0.0.1:{port}", OPTIONS + [("grpc.default_authority", "h3.test")]
    )
unary = channel.unary_unary("/test.Echo/Unary")
many = channel.unary_stream("/test.Echo/Many")
count = channel.stream_unary("/test.Echo/Count")
echo = channel.stream_stream("/test.Echo/Echo")


def equal(got, expected, what=""):
    assert got == expected, f"{what}: {got!r} is not {expected!r}"


def ends(call, code, what=""):
    try:
        call()
    except grpc.RpcError as error:
        equal(error.code(), code, (what, error))
        return error
    raise AssertionError(f"{what} did not fail")


def calls():
    answer, call = unary.with_call(b"abc", timeout=PATIENCE)
    equal(answer, b"cba")
    trailers = dict(call.trailing_metadata())
    equal((trailers["x-end"], trailers["x-bytes-bin"]), ("yes", b"\0\xff"))
    equal(unary(b"", timeout=PATIENCE), b"", "an empty message")
    large = b"0123456789" * 300_000
    equal(unary(large, timeout=PATIENCE), large[::-1], "three megabytes")
    equal(list(many(b"500", timeout=PATIENCE)), [b"%d" % n for n in range(500)])
    equal(list(many(b"0", timeout=PATIENCE)), [], "no message at all")
    equal(count((b"x" * 1000 for _ in range(300)), timeout=PATIENCE), b"300000")
    # Each answer before the next question: nothing may wait for the end.
    turn, messages = threading.Semaphore(1), 20

    def questions():
        for number in range(messages):
            assert turn.acquire(timeout=PATIENCE)
            yield b"%d tick" % number

    got = 0
    for answer in echo(questions(), timeout=PATIENCE):
        equal(answer, (b"%d tick" % got)[::-1])
        got += 1
        turn.release()
    equal(got, messages)
    for code in grpc.StatusCode:
        if code != grpc.StatusCode.OK:
            error = ends(lambda: unary(b"fail %d" % code.value[0], timeout=PATIENCE), code)
            equal(error.details(), f"wanted ☃ {code.name}")
    missing = channel.unary_unary("/test.Echo/Missing")
    ends(lambda: missing(b"", timeout=PATIENCE), grpc.StatusCode.UNIMPLEMENTED, "no such method")
    ends(lambda: unary(b"wait", timeout=0.3), grpc.StatusCode.DEADLINE_EXCEEDED, "a deadline")
    waiting = unary.future(b"wait", timeout=PATIENCE)
    threading.Timer(0.2, waiting.cancel).start()
    try:
        waiting.result()
        raise AssertionError("it was cancelled")
    except grpc.FutureCancelledError:
        pass
    # Many at once on one connection.
    futures = [unary.future(b"%d" % n, timeout=PATIENCE) for n in range(100)]
    equal([f.result() for f in futures], [(b"%d" % n)[::-1] for n in range(100)])


def unimplemented():
    ends(lambda: unary(b"", timeout=PATIENCE), grpc.StatusCode.UNIMPLEMENTED, "no route")


def unavailable():
    ends(lambda: unary(b"", timeout=PATIENCE), grpc.StatusCode.UNAVAILABLE)


globals()[function]()
