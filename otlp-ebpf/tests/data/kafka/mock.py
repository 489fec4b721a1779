"""The mock broker that librdkafka carries: prints its port, and ends with its standard input."""

import sys

from confluent_kafka import Producer

client = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "client.id": "mock"})
[broker] = client.list_topics(timeout=20).brokers.values()
print(broker.port, flush=True)
sys.stdin.read()
