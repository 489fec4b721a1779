"""A Kafka client that counts its own requests: produces, consumes, commits, and prints what it did as JSON.

python3 client.py BOOTSTRAP MESSAGES (assign | subscribe)
"""

import json
import os
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition

bootstrap, messages, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
topics = ["orders", "payments"]
deadline = time.time() + 40
counts = {}


def counting(name):
    def on(text):
        # What was sent to bootstrap is not counted: the client forgets that broker when it knows the real ones.
        brokers = json.loads(text)["brokers"].values()
        sent = {}
        for broker in brokers:
            for api, count in broker.get("req", {}).items():
                sent[api] = sent.get(api, 0) + count
        sent = {api: count for api, count in sent.items() if count}
        total = sum(broker["tx"] for broker in brokers)
        counts[name] = {"sent": sent, "total": total, "answered": sum(broker["rx"] for broker in brokers)}

    return {
        "bootstrap.servers": bootstrap,
        "client.id": name,
        "enable.metrics.push": False,
        "statistics.interval.ms": 50,
        "stats_cb": on,
    }


def settle(name, poll):
    """Waits until everything is answered and nothing more is sent."""
    before = None
    while time.time() < deadline:
        counts.pop(name, None)
        while name not in counts:
            poll()
        now = counts[name]
        if now == before and now["total"] == now["answered"]:
            return
        before = now
        until = time.time() + 0.3
        while time.time() < until:
            poll()
    sys.exit(f"{name} does not settle")


producer = Producer({**counting("shop-producer"), "acks": "all", "linger.ms": 2})
failed = 0


def delivered(error, _):
    global failed
    failed += error is not None


for number in range(messages):
    for topic in topics:
        producer.produce(topic, key=str(number), value=f"canary-{number}", on_delivery=delivered)
    if number % 5 == 4:
        producer.flush()
producer.flush()
settle("shop-producer", lambda: producer.poll(0.02))

consumer = Consumer({
    **counting("shop-consumer"),
    "group.id": "cart",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "fetch.wait.max.ms": 50,
})
places = [TopicPartition(topic, index, 0) for topic in topics for index in range(len(consumer.list_topics(topic).topics[topic].partitions))]
if how == "assign":
    consumer.assign(places)
else:
    consumer.subscribe(topics)
consumed = 0
while consumed < messages * len(topics) and time.time() < deadline:
    for message in consumer.consume(100, 0.05):
        consumed += message.error() is None
committed = consumer.commit(asynchronous=False)
consumer.pause(places)
settle("shop-consumer", lambda: consumer.consume(1, 0.02))
print(json.dumps({"failed": failed, "consumed": consumed, "committed": len(committed), "clients": counts}), flush=True)
# Leaves without a word, so that nothing is sent that was not counted.
os._exit(0)
