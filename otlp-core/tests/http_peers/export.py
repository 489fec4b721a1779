"""The SDK's own exporters over HTTP: argument 1 is the URL, argument 2 none or gzip."""
import logging
import sys

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

url, compression = sys.argv[1:]


def options(signal):
    return {
        "endpoint": f"{url}/v1/{signal}",
        "timeout": 20,
        "headers": {"x-token": "t"},
        "compression": {"none": Compression.NoCompression, "gzip": Compression.Gzip}[compression],
    }


resource = Resource({"service.name": "python", "host.ids": ["a", "b"], "cpu.count": 8})

tracing = TracerProvider(resource=resource)
tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**options("traces"))))
tracer = tracing.get_tracer("shop", "1.2", schema_url="https://example.org/schema")
link = None
for number in range(100):
    attributes = {"number": number, "even": number % 2 == 0, "share": number / 8, "tags": ["x", "日本"]}
    links = [Link(link, {"why": "before"})] if link else None
    kind = SpanKind.SERVER
    span = tracer.start_span(f"span {number}", kind=kind, attributes=attributes, links=links, start_time=1000 + number)
    span.add_event("paid", {"amount": 12.5}, timestamp=1500 + number)
    span.set_status(Status(StatusCode.ERROR, "refused") if number % 4 == 0 else Status(StatusCode.OK))
    span.end(end_time=2000 + number)
    link = span.get_span_context()
assert tracing.force_flush(20_000)

metering = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(**options("metrics")))], resource)
meter = metering.get_meter("shop", "1.2")
meter.create_counter("orders", "{order}", "Orders taken").add(7, {"kind": "paid"})
meter.create_histogram("latency", "ms").record(30.5)
meter.create_up_down_counter("stock").add(-3)
assert metering.force_flush(20_000)

logs = LoggerProvider(resource)
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(**options("logs"))))
logger = logging.getLogger("shop")
logger.addHandler(LoggingHandler(logger_provider=logs))
logger.error("out of stock", extra={"item": 7})
assert logs.force_flush(20_000)

for provider in (tracing, metering, logs):
    provider.shutdown()
