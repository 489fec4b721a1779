#!/usr/bin/env python3
"""Writes the corpus of this folder: requests on the wire and in OTLP/JSON, by the Python package.

    python3 -m venv v && v/bin/pip install opentelemetry-proto==1.45.2 protobuf==7.36.2
    v/bin/python make_json.py

For each signal `NAME.lines` has one request a line: the protobuf bytes in hexadecimal, a tab, and the JSON
that google.protobuf.json_format makes of it, with enumerations as integers and with the identifiers, which
json_format has in base64, in hexadecimal, as the OTLP specification asks. Random from a fixed seed; every field
of every message within reach is set somewhere.
"""

import base64
import json
import random
from pathlib import Path

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.profiles.v1development import profiles_service_pb2 as profiles
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

REQUESTS = {
    "traces": traces.ExportTraceServiceRequest,
    "metrics": metrics.ExportMetricsServiceRequest,
    "logs": logs.ExportLogsServiceRequest,
    "profiles": profiles.ExportProfilesServiceRequest,
}
IDS = {"trace_id": 16, "profile_id": 16, "span_id": 8, "parent_span_id": 8}
HEX = {"traceId", "profileId", "spanId", "parentSpanId"}
TEXTS = ["", "a", "GET /cart", 'quote " and \\', "größe", "日本語", "\U0001f980", "tab\tline\n\x00\x1f\x7f", "\u2028/"]
DOUBLES = [0.0, -0.0, 1.0, -2.5, 0.1, 1e15, 1e16, 1e-4, 9e-5, 1.7976931348623157e308, 5e-324, 123456.789,
           float("nan"), float("inf"), float("-inf")]


def scalar(field, dice):
    """A value of the field's type: the ends of its range, what is usual, and the default."""
    kind = field.type
    if kind == field.TYPE_STRING:
        return dice.choice(TEXTS)
    if kind == field.TYPE_BYTES:
        if field.name in IDS:
            return dice.randbytes(dice.choice([0, IDS[field.name]]))
        return dice.randbytes(dice.randrange(6))
    if kind == field.TYPE_DOUBLE:
        return dice.choice([*DOUBLES, dice.uniform(-1e6, 1e6)])
    if kind == field.TYPE_BOOL:
        return dice.random() < 0.5
    if kind == field.TYPE_ENUM:
        return dice.choice([0, 1, 2, 77, -1])
    bits = 32 if kind in (field.TYPE_INT32, field.TYPE_SINT32, field.TYPE_UINT32, field.TYPE_FIXED32) else 64
    if kind in (field.TYPE_UINT32, field.TYPE_UINT64, field.TYPE_FIXED32, field.TYPE_FIXED64):
        return dice.choice([0, 1, 300, 1760000000123456789 % 2**bits, 2**bits - 1])
    return dice.choice([0, 1, -1, 300, 2 ** (bits - 1) - 1, -(2 ** (bits - 1))])


def fill(message, dice, levels):
    """Sets fields at random, one of each oneof at most."""
    fields = list(message.DESCRIPTOR.fields)
    dice.shuffle(fields)
    for field in fields:
        oneof = field.containing_oneof
        if dice.random() < 0.3 or oneof and message.WhichOneof(oneof.name):
            continue
        is_message = field.message_type is not None
        if is_message and levels == 0:
            continue
        if field.is_repeated:
            target = getattr(message, field.name)
            for _ in range(dice.randrange(3)):
                if is_message:
                    fill(target.add(), dice, levels - 1)
                else:
                    target.append(scalar(field, dice))
        elif is_message:
            child = getattr(message, field.name)
            child.SetInParent()
            fill(child, dice, levels - 1)
        else:
            setattr(message, field.name, scalar(field, dice))


def with_hex(tree):
    """The tree with identifiers in hexadecimal."""
    if isinstance(tree, list):
        return [with_hex(item) for item in tree]
    if isinstance(tree, dict):
        return {
            name: base64.b64decode(value).hex() if name in HEX else with_hex(value) for name, value in tree.items()
        }
    return tree


def main():
    folder = Path(__file__).parent
    for name, request in REQUESTS.items():
        lines = []
        size = 0
        seed = 0
        while size < 60_000:
            seed += 1
            message = request()
            fill(message, random.Random(f"{name} {seed}"), 9)
            wire = message.SerializeToString(deterministic=True)
            if not 20 < len(wire) < 4000:
                continue
            tree = with_hex(json_format.MessageToDict(message, use_integers_for_enums=True))
            lines.append(f"{wire.hex()}\t{json.dumps(tree, ensure_ascii=seed % 2 == 0, separators=(',', ':'))}\n")
            size += len(lines[-1])
        (folder / f"{name}.lines").write_text("".join(lines), encoding="utf-8")


main()
