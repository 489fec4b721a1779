"""The SDK's own span exporter over TLS: endpoint, grpc or http, seconds, the CA's file, and for mutual TLS certificate and key.

Exits with 1 where the export fails.
"""
import sys

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult, SimpleSpanProcessor

endpoint, protocol, timeout, ca, *identity = sys.argv[1:]
if protocol == "grpc":
    from grpc import ssl_channel_credentials
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    read = lambda path: open(path, "rb").read()
    certificate, key = map(read, identity) if identity else (None, None)
    credentials = ssl_channel_credentials(read(ca), key, certificate)
    exporter = OTLPSpanExporter(endpoint=endpoint, credentials=credentials, insecure=False, timeout=int(timeout))
else:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    certificate, key = identity if identity else (None, None)
    exporter = OTLPSpanExporter(
        endpoint=f"{endpoint}/v1/traces",
        certificate_file=ca,
        client_certificate_file=certificate,
        client_key_file=key,
        timeout=int(timeout),
    )

results = []
export = exporter.export
exporter.export = lambda spans: results.append(export(spans)) or results[-1]
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
tracer = provider.get_tracer("shop", "1.2")
for number in range(5):
    with tracer.start_as_current_span(f"span {number}"):
        pass
    if results[-1] is not SpanExportResult.SUCCESS:
        sys.exit(1)
provider.shutdown()
