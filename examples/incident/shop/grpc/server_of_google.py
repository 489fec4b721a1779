"""Serves `test.Echo/Say` and `test.Echo/Refuse` as Google's gRPC does it; prints its port, ends with its input."""

import sys
from concurrent import futures

import grpc


def say(message, context):
    trace = dict(context.invocation_metadata()).get("traceparent", "")
    return message + trace.encode()


def refuse(message, context):
    left = context.time_remaining()
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "in time" if 0 < left <= 20 else f"{left} s left")


server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
methods = {"Say": say, "Refuse": refuse}
handlers = {name: grpc.unary_unary_rpc_method_handler(of) for name, of in methods.items()}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
