"""A gRPC server and client without generated code, for the test of the tap: `serve`, which prints its port and goes
on until its input ends, or `call PORT`, which makes the calls below and prints how many of each status it got."""

import sys
from concurrent import futures

import grpc

SERVICE = "shop.v1.Cart"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-{:016x}-01"


def add(request, context):
    return request + b"!"


def missing(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such item")


def broken(request, context):
    raise ValueError("broken")


def unavailable(request, context):
    context.abort(grpc.StatusCode.UNAVAILABLE, "later")


def many(request, context):
    for number in range(5):
        yield bytes([number]) * 3000


def echo(requests, context):
    yield from requests


def serve():
    same = {"request_deserializer": None, "response_serializer": None}
    handlers = {
        "Add": grpc.unary_unary_rpc_method_handler(add, **same),
        "Missing": grpc.unary_unary_rpc_method_handler(missing, **same),
        "Broken": grpc.unary_unary_rpc_method_handler(broken, **same),
        "Unavailable": grpc.unary_unary_rpc_method_handler(unavailable, **same),
        "Many": grpc.unary_stream_rpc_method_handler(many, **same),
        "Echo": grpc.stream_stream_rpc_method_handler(echo, **same),
    }
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(None)


def call(port):
    counts = {}

    def count(method, outcome):
        key = f"{SERVICE}/{method} {outcome.code().name}"
        counts[key] = counts.get(key, 0) + 1

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        number = 0
        for _ in range(20):
            waiting = []
            for method in ["Add", "Missing", "Broken", "Unavailable", "Absent"]:
                number += 1
                stub = channel.unary_unary(f"/{SERVICE}/{method}")
                metadata = [("traceparent", PARENT.format(number))]
                waiting.append((method, stub.future(b"x" * number, metadata=metadata)))
            for method, future in waiting:
                future.exception()
                count(method, future)
        streamed = channel.unary_stream(f"/{SERVICE}/Many")(b"")
        assert sum(len(part) for part in streamed) == 15000
        count("Many", streamed)
        echoed = channel.stream_stream(f"/{SERVICE}/Echo")(iter([b"a" * 70000, b"b"]))
        assert sum(len(part) for part in echoed) == 70001
        count("Echo", echoed)
    for key, met in sorted(counts.items()):
        print(f"{key} {met}")


if sys.argv[1] == "serve":
    serve()
else:
    call(sys.argv[2])
