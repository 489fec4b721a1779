#!/usr/bin/env python3
"""Freezes OTLP requests that others wrote, and what the Python package reads in them.

    python3 -m venv v
    v/bin/pip install opentelemetry-proto==1.45.2 opentelemetry-sdk==1.45.2 \\
        opentelemetry-exporter-otlp-proto-http==1.45.2 rotel==0.0.1a15
    npm install --prefix n @opentelemetry/exporter-trace-otlp-proto@0.223.1 \\
        @opentelemetry/exporter-logs-otlp-proto@0.223.1 @opentelemetry/exporter-metrics-otlp-proto@0.223.1 \\
        @opentelemetry/sdk-trace-node@2.12.0 @opentelemetry/sdk-logs@0.223.1 @opentelemetry/sdk-metrics@2.12.1
    NODE_PATH=n/node_modules v/bin/python make_corpus.py corpus

For each request there is NAME.SIGNAL.bin, the bytes as they were sent, and NAME.SIGNAL.txt, a line for every value that
`opentelemetry-proto` of Python finds in them, nested as they are. Where NAME begins, the request comes from:

    fields      every field of every message, written by the Python protobuf library (upb)
    python      programs with the Python SDK and its OTLP/HTTP exporter
    javascript  the same with the JavaScript SDK (make_corpus.cjs)
    rotel       what the collector Rotel, in Rust, sent on of the above

The producers put the time of their run into what they send, so that a second run gives other bytes and the same shape.
The stacks of their errors tell where the programs are: in the files that are kept it is `/srv/example`.
"""

import gzip
import logging
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path

from google.protobuf.descriptor import FieldDescriptor as F

SIGNALS = {
    "traces": ("trace.v1.trace_service_pb2", "ExportTraceServiceRequest"),
    "metrics": ("metrics.v1.metrics_service_pb2", "ExportMetricsServiceRequest"),
    "logs": ("logs.v1.logs_service_pb2", "ExportLogsServiceRequest"),
    "profiles": ("profiles.v1development.profiles_service_pb2", "ExportProfilesServiceRequest"),
}
# A sub-message of these fields says nothing by being there and empty.
SILENT = {"resource", "scope", "status", "value", "body"}
IDS = {"trace_id": 16, "span_id": 8, "parent_span_id": 8, "profile_id": 16}


def request(signal):
    module, name = SIGNALS[signal]
    return getattr(import_module(f"opentelemetry.proto.collector.{module}"), name)()


# --- what is in a message, one value a line ---


def lines(message, depth=0):
    """Every field that is set, by number: its name and value, or what it holds one space further in."""
    for field, value in message.ListFields():
        for item in value if field.is_repeated else [value]:
            yield from entry(field, item, depth)


def entry(field, value, depth):
    name = " " * depth + field.name
    if field.type == F.TYPE_MESSAGE:
        inner = list(lines(value, depth + 1))
        if inner or field.is_repeated or field.name not in SILENT:
            yield name
            yield from inner
    elif field.type == F.TYPE_BYTES:
        if field.name not in IDS or any(value):
            yield f"{name} 0x{value.hex()}"
    elif field.type == F.TYPE_STRING:
        yield f"{name} {quoted(value)}"
    elif field.type == F.TYPE_DOUBLE:
        yield f"{name} f64:{struct.pack('>d', value).hex()}"
    else:
        yield f"{name} {int(value)}"


def quoted(text):
    plain = lambda char: char if " " <= char <= "~" and char not in '"\\' else f"\\u{{{ord(char):x}}}"
    return '"' + "".join(map(plain, text)) + '"'


# --- every field ---


class Filler:
    """Sets every field there is: each oneof's members in turn, each list with two elements, values all different."""

    def __init__(self):
        self.count = 0
        self.turn = Counter()

    def fill(self, message, depth=0):
        members = {}
        for field in message.DESCRIPTOR.fields:
            oneof = field.containing_oneof
            if oneof is not None and oneof.name != f"_{field.name}":
                members.setdefault(oneof.full_name, []).append(field)
            else:
                self.set(message, field, depth)
        for name, fields in members.items():
            if depth > 9:
                fields = [field for field in fields if field.type != F.TYPE_MESSAGE]
            self.turn[name] += 1
            self.set(message, fields[self.turn[name] % len(fields)], depth)

    def set(self, message, field, depth):
        if field.type == F.TYPE_MESSAGE and field.is_repeated:
            kind = field.message_type.name
            for _ in range({"KeyValue": 3, "Metric": 5}.get(kind, 1 if kind[0] in "RS" and depth < 2 else 2)):
                self.fill(getattr(message, field.name).add(), depth + 1)
        elif field.type == F.TYPE_MESSAGE:
            getattr(message, field.name).SetInParent()
            self.fill(getattr(message, field.name), depth + 1)
        elif field.is_repeated:
            getattr(message, field.name).extend([self.scalar(field), self.scalar(field)])
        else:
            setattr(message, field.name, self.scalar(field))

    def scalar(self, field):
        self.count += 1
        signed = -1 if self.count % 3 == 0 else 1
        match field.type:
            case F.TYPE_STRING:
                return f"{field.name[:6]} {['a', 'ß', '日', '🦀'][self.count % 4]}{self.count}"
            case F.TYPE_BYTES:
                return (self.count).to_bytes(IDS.get(field.name, 3), "big")
            case F.TYPE_DOUBLE:
                return signed * self.count * 0.37
            case F.TYPE_BOOL:
                return True
            case F.TYPE_ENUM:
                return field.enum_type.values[1 + self.count % (len(field.enum_type.values) - 1)].number
            case F.TYPE_INT32 | F.TYPE_SINT32 | F.TYPE_SINT64 | F.TYPE_INT64 | F.TYPE_SFIXED64:
                return signed * self.count * 1001
        return self.count * 1001


# --- real producers ---


class Capture:
    """An OTLP/HTTP receiver on loopback that keeps the bodies."""

    def __init__(self):
        self.bodies = []
        capture = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                chunked = self.headers.get("Transfer-Encoding") == "chunked"
                body = self.chunks() if chunked else self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                capture.bodies.append((self.path.rsplit("/", 1)[-1], body))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def chunks(self):
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self):
        bodies, self.bodies = self.bodies, []
        return bodies


def python_sdk(url):
    """A small shop that does a bit of everything."""
    from opentelemetry import metrics, trace
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource({"service.name": "shop", "service.instance.id": "a-1", "process.command_args": ["shop", "-v"]})
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{url}/v1/metrics"), export_interval_millis=3_600_000)
    views = [View(instrument_name="db.wait", aggregation=ExponentialBucketHistogramAggregation())]
    meters = MeterProvider(resource=resource, metric_readers=[reader], views=views)
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{url}/v1/logs")))
    log = logging.getLogger("shop.cart")
    log.setLevel(logging.DEBUG)
    log.propagate = False
    log.addHandler(LoggingHandler(logger_provider=logs))

    tracer = traces.get_tracer("shop.cart", "1.2.3", schema_url="https://opentelemetry.io/schemas/1.30.0")
    meter = meters.get_meter("shop.cart", "1.2.3")
    served = meter.create_counter("shop.served", unit="{request}", description="Requests served")
    waiting = meter.create_up_down_counter("shop.waiting")
    duration = meter.create_histogram("http.server.request.duration", unit="s")
    wait = meter.create_histogram("db.wait", unit="ms")
    load = lambda _: [metrics.Observation(0.25, {"core": 0}), metrics.Observation(0.5, {"core": 1})]
    meter.create_observable_gauge("system.load", [load])

    for number in range(12):
        with tracer.start_as_current_span("GET /cart", kind=trace.SpanKind.SERVER) as root:
            root.set_attributes({"http.request.method": "GET", "http.response.status_code": 200 + number % 2 * 300})
            root.set_attributes({"user.größe": "größer", "ratio": 0.5 * number, "flags": [True, False], "ids": [1, -2]})
            link = trace.Link(root.get_span_context(), {"why": "batch"})
            with tracer.start_as_current_span("SELECT cart", kind=trace.SpanKind.CLIENT, links=[link]) as child:
                child.add_event("cache.miss", {"key": f"cart-{number}", "日本": "語"})
                log.warning("cart %d was not in the cache", number, extra={"cart.id": number, "parts": ["a", 1.5]})
                if number % 3 == 0:
                    child.record_exception(ValueError("no such cart"))
                    child.set_status(trace.Status(trace.StatusCode.ERROR, "no such cart"))
            attributes = {"http.route": "/cart"}
            served.add(1, attributes)
            waiting.add(1 - number % 3, attributes)
            duration.record(0.01 * number, attributes)
            wait.record(1.7**number)
    try:
        raise KeyError("gone")
    except KeyError:
        log.exception("cart lost")
    [provider.shutdown() for provider in (traces, meters, logs)]


def javascript_sdk(url):
    program = Path(__file__).with_name("make_corpus.cjs")
    subprocess.run(["node", program, url], check=True)


def through_rotel(bodies, url):
    """Sends the bodies through the collector, which decodes them and encodes them again."""
    with socket.socket() as free, socket.socket() as other:
        free.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        http, grpc = free.getsockname()[1], other.getsockname()[1]
    agent = Path(import_module("rotel").__file__).with_name("rotel-agent")
    command = [agent, "start", f"--otlp-http-endpoint=127.0.0.1:{http}", f"--otlp-grpc-endpoint=127.0.0.1:{grpc}"]
    command += ["--exporter=otlp", f"--otlp-exporter-endpoint={url}", "--otlp-exporter-protocol=http"]
    command += ["--batch-timeout=200ms"]
    rotel = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for signal, body in bodies:
            headers = {"Content-Type": "application/x-protobuf"}
            post = urllib.request.Request(f"http://127.0.0.1:{http}/v1/{signal}", body, headers)
            for _ in range(50):
                try:
                    urllib.request.urlopen(post)
                    break
                except OSError:
                    time.sleep(0.1)
        time.sleep(2)
    finally:
        rotel.terminate()
        rotel.wait()


# --- all together ---


def freeze(folder, name, signal, body):
    message = request(signal)
    message.ParseFromString(body)
    file = folder / f"{name}.{signal}.bin"
    assert not file.exists(), f"{name} sent {signal} twice"
    file.write_bytes(body)
    (folder / f"{name}.{signal}.txt").write_text("".join(f"{line}\n" for line in lines(message)))


def main(folder):
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    for signal in SIGNALS:
        message = request(signal)
        Filler().fill(message)
        freeze(folder, "fields", signal, message.SerializeToString(deterministic=True))
    capture = Capture()
    taken = []
    for name, produce in [("python", python_sdk), ("javascript", javascript_sdk)]:
        produce(capture.url)
        bodies = capture.take()
        taken += bodies
        for signal, body in bodies:
            freeze(folder, name, signal, body)
    through_rotel(taken, capture.url)
    for signal, body in capture.take():
        freeze(folder, "rotel", signal, body)


if __name__ == "__main__":
    main(*sys.argv[1:])
