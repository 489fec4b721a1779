#!/usr/bin/env python3
"""Writes fields.tsv: every field of every OTLP message, as the Python package describes them.

    python3 -m venv v && v/bin/pip install opentelemetry-proto==1.45.2
    v/bin/python make_fields.py > fields.tsv

One line a field, sorted by message and number, tab-separated. `-` stands for "none".
"""

import sys
from importlib import import_module
from importlib.metadata import version

from google.protobuf.descriptor import FieldDescriptor

MODULES = [
    "common.v1.common_pb2",
    "resource.v1.resource_pb2",
    "trace.v1.trace_pb2",
    "metrics.v1.metrics_pb2",
    "logs.v1.logs_pb2",
    "profiles.v1development.profiles_pb2",
    "collector.trace.v1.trace_service_pb2",
    "collector.metrics.v1.metrics_service_pb2",
    "collector.logs.v1.logs_service_pb2",
    "collector.profiles.v1development.profiles_service_pb2",
]
COLUMNS = ["message", "number", "name", "json_name", "type", "type_name", "label", "oneof"]
TYPES = {
    getattr(FieldDescriptor, name): name.removeprefix("TYPE_").lower()
    for name in dir(FieldDescriptor)
    if name.startswith("TYPE_")
}


def messages(file):
    """All messages of a file, nested ones too."""
    pending = list(file.message_types_by_name.values())
    while pending:
        message = pending.pop()
        yield message
        pending.extend(message.nested_types)


def label(field):
    """`repeated`, `optional` (presence is told apart from the default) or `singular`."""
    if field.is_repeated:
        return "repeated"
    explicit = field.containing_oneof is not None and field.containing_oneof.name == f"_{field.name}"
    return "optional" if explicit else "singular"


def row(message, field):
    target = field.message_type or field.enum_type
    kind = label(field)
    oneof = field.containing_oneof.name if field.containing_oneof and kind == "singular" else "-"
    return [
        message.full_name,
        str(field.number),
        field.name,
        field.json_name,
        TYPES[field.type],
        target.full_name if target else "-",
        kind,
        oneof,
    ]


def main():
    found = {}
    for name in MODULES:
        for message in messages(import_module(f"opentelemetry.proto.{name}").DESCRIPTOR):
            found[message.full_name] = message
    print(f"# made by make_fields.py from opentelemetry-proto {version('opentelemetry-proto')} (PyPI)")
    print("# " + "\t".join(COLUMNS))
    for name in sorted(found):
        for field in sorted(found[name].fields, key=lambda field: field.number):
            print("\t".join(row(found[name], field)))


if __name__ == "__main__":
    sys.exit(main())
