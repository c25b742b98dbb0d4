"""A gRPC service without a schema: messages are bytes."""

import concurrent.futures
import json
import time

import grpc


def unary(message, context):
    context.set_trailing_metadata((("x-end", "yes"), ("x-bytes-bin", b"\0\xff")))
    if message == b"wait":
        while context.is_active():
            time.sleep(0.01)
        print(json.dumps({"cancelled": True}), flush=True)
        return b""
    if message.startswith(b"fail "):
        code = next(c for c in grpc.StatusCode if c.value[0] == int(message[5:]))
        context.abort(code, f"wanted ☃ {code.name}")
    return message[::-1]


def many(message, context):
    for number in range(int(message)):
        yield b"%d" % number


def count(messages, context):
    return b"%d" % sum(len(message) for message in messages)


def echo(messages, context):
    for message in messages:
        yield message[::-1]


server = grpc.server(
    concurrent.futures.ThreadPoolExecutor(16),
    options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
)
server.add_generic_rpc_handlers(
    (
        grpc.method_handlers_generic_handler(
            "test.Echo",
            {
                "Unary": grpc.unary_unary_rpc_method_handler(unary),
                "Many": grpc.unary_stream_rpc_method_handler(many),
                "Count": grpc.stream_unary_rpc_method_handler(count),
                "Echo": grpc.stream_stream_rpc_method_handler(echo),
            },
        ),
    )
)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(json.dumps({"port": port}), flush=True)
server.wait_for_termination()
