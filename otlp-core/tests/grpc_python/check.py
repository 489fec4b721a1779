"""Asks the health service at argument 1 (host:port) about all, one service here, and one that is not."""
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", "opentelemetry.proto.collector.metrics.v1.MetricsService", "shop.Cart"):
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=20)
            print(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
        except grpc.RpcError as error:
            print(error.code().name, "-", error.details())
    try:
        next(stub.Watch(health_pb2.HealthCheckRequest(), timeout=20))
    except grpc.RpcError as error:
        print(error.code().name)
