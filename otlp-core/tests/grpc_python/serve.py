"""A gRPC server of four signals. Prints its port, then a line a request; ends when its input does.

The first request of each signal is answered UNAVAILABLE with a RetryInfo of 300 ms, the second with a partial
success of one record, all others in full.
"""
import sys
import time
from concurrent import futures

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs, logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.profiles.v1development import profiles_service_pb2 as profiles
from opentelemetry.proto.collector.profiles.v1development import profiles_service_pb2_grpc as profiles_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace, trace_service_pb2_grpc as trace_grpc


def busy(context):
    status = status_pb2.Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message="later")
    status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=Duration(nanos=300_000_000)))
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNAVAILABLE, "später 100%")


def servicer(base, name, response, rejected):
    class Servicer(base):
        asked = 0

        def Export(self, request, context):
            metadata = dict(context.invocation_metadata())
            body = request.SerializeToString(deterministic=True).hex()
            print(name, time.monotonic_ns(), metadata.get("x-token"), body, flush=True)
            self.asked += 1
            if self.asked == 1:
                busy(context)
            answer = response()
            if self.asked == 2:
                setattr(answer.partial_success, rejected, 1)
                answer.partial_success.error_message = "one is too old"
            return answer

    return Servicer()


# One worker: requests are answered in the order in which they come.
server = grpc.server(futures.ThreadPoolExecutor(1), compression=grpc.Compression.Gzip)
trace_grpc.add_TraceServiceServicer_to_server(
    servicer(trace_grpc.TraceServiceServicer, "traces", trace.ExportTraceServiceResponse, "rejected_spans"), server)
metrics_grpc.add_MetricsServiceServicer_to_server(
    servicer(metrics_grpc.MetricsServiceServicer, "metrics", metrics.ExportMetricsServiceResponse,
             "rejected_data_points"), server)
logs_grpc.add_LogsServiceServicer_to_server(
    servicer(logs_grpc.LogsServiceServicer, "logs", logs.ExportLogsServiceResponse, "rejected_log_records"), server)
profiles_grpc.add_ProfilesServiceServicer_to_server(
    servicer(profiles_grpc.ProfilesServiceServicer, "profiles", profiles.ExportProfilesServiceResponse,
             "rejected_profiles"), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
server.stop(None).wait()
