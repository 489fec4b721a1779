"""The SDK's own exporters over gRPC: argument 1 is host:port, argument 2 none or gzip."""
import logging
import sys

from grpc import Compression
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

endpoint, compression = sys.argv[1:]
options = {
    "endpoint": endpoint,
    "insecure": True,
    "timeout": 20,
    "headers": (("x-token", "t"),),
    "compression": {"none": Compression.NoCompression, "gzip": Compression.Gzip}[compression],
}
resource = Resource({"service.name": "python"})

tracing = TracerProvider(resource=resource)
tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**options)))
tracer = tracing.get_tracer("shop", "1.2")
for number in range(100):
    with tracer.start_as_current_span(f"span {number}", attributes={"number": number}):
        pass
assert tracing.force_flush(20_000)

metering = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(**options))], resource)
metering.get_meter("shop").create_counter("orders").add(7, {"kind": "paid"})
assert metering.force_flush(20_000)

logs = LoggerProvider(resource)
logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(**options)))
logger = logging.getLogger("shop")
logger.addHandler(LoggingHandler(logger_provider=logs))
logger.error("out of stock")
assert logs.force_flush(20_000)

for provider in (tracing, metering, logs):
    provider.shutdown()
