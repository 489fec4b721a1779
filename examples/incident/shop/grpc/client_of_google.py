"""Calls `test.Echo` at the address given, as Google's gRPC does it: many calls on one channel, a status, a deadline.

Prints one line for each kind of call; the messages are bytes.
"""

import sys

import grpc

channel = grpc.insecure_channel(sys.argv[1])


def method(name):
    return channel.unary_unary(f"/test.Echo/{name}", request_serializer=None, response_deserializer=None)


metadata = (("traceparent", "00-1-2-01"),)
calls = [method("Say").future(b"%d " % number, timeout=20, metadata=metadata) for number in range(100)]
assert [call.result() for call in calls] == [b"%d 00-1-2-01" % number for number in range(100)]
print("said 100")
for name in ("Refuse", "Sing"):
    try:
        method(name)(b"", timeout=20)
    except grpc.RpcError as error:
        print(error.code().name, error.details())
