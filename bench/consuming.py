"""The loads of consumers: pulled and pushed, one and many, work queues, key-value buckets, and nats.go where Go is.

Each is a function of (client, server, tag, count) that makes what it needs, measures, and returns messages or operations a second.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from servers import Server
from streamclient import INBOX, Client, Taker, take_all
from workers import LoadError

Load = Callable[[Client, Server, str, int], float]

BATCH = 500
WINDOW = 4_000
CROWD = 100
QUEUE_CLIENTS = 8
FILTERED = 10_000
SUBJECTS_EACH = 10
KEYED = b"x" * 128
GO_CASES = {"fetch": 128, "pushed": 128, "queue": 128, "kv": 128, "watch": 128}
GO_TIMEOUT = 600.0


def publishes(subjects: list[bytes], count: int, size: int = 128) -> Iterator[bytes]:
    """Publishes with replies, to each subject in turn."""
    payload = b"x" * size
    for number in range(count):
        yield b"PUB %b %b%07d %d\r\n%b\r\n" % (subjects[number % len(subjects)], INBOX, number, size, payload)


def stream(client: Client, name: str, storage: str = "file", **config: object) -> None:
    client.ask(f"STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.>"], "storage": storage, **config})


def filled(client: Client, name: str, count: int, storage: str = "file", **config: object) -> None:
    stream(client, name, storage, **config)
    client.measure(publishes([name.encode() + b".a"], count), count, WINDOW)


def consumer(client: Client, name: str, durable: str, **config: object) -> None:
    body = {"durable_name": durable, "ack_policy": "explicit", **config}
    client.ask(f"CONSUMER.CREATE.{name}.{durable}", {"stream_name": name, "config": body})


def next_of(name: str, durable: str) -> bytes:
    return f"$JS.API.CONSUMER.MSG.NEXT.{name}.{durable}".encode()


def closing(takers: list[Taker], count: int) -> float:
    try:
        return take_all(takers, count)
    finally:
        for taker in takers:
            taker.socket.close()


def acknowledged(client: Client, name: str, durable: str, count: int) -> None:
    """Wait until the server has seen every ack."""
    for _ in range(2_000):
        answer = client.ask(f"CONSUMER.INFO.{name}.{durable}", {})
        if answer["ack_floor"]["stream_seq"] == count:  # type: ignore[index]
            return
    raise LoadError(f"{durable}: acks are missing: {answer}")


def fetched(storage: str) -> Load:
    """Batches of 500, each message acknowledged."""

    def load(client: Client, server: Server, tag: str, count: int) -> float:
        count = max(BATCH, count // BATCH * BATCH)
        filled(client, tag, count, storage)
        consumer(client, tag, "C", max_ack_pending=10 * BATCH)
        taker = Taker(server, acks=True, request=next_of(tag, "C"), batch=BATCH)
        taker.begin()
        rate = closing([taker], count)
        acknowledged(client, tag, "C", count)
        return rate

    return load


def pushed(client: Client, server: Server, tag: str, count: int) -> float:
    """One push consumer without acks."""
    filled(client, tag, count)
    taker = Taker(server)
    taker.listen(f"deliver.{tag}")
    consumer(client, tag, "C", deliver_subject=f"deliver.{tag}", ack_policy="none")
    return closing([taker], count)


def crowd(client: Client, server: Server, tag: str, count: int) -> float:
    """A hundred push consumers on one stream, while it is published; ``count`` is what they get together."""
    stream(client, tag)
    taker = Taker(server)
    for number in range(CROWD):
        taker.listen(f"deliver.{tag}.{number}")  # for nats-server a wildcard is no interest
        consumer(client, tag, f"C{number}", deliver_subject=f"deliver.{tag}.{number}", ack_policy="none")
    return live(client, taker, [tag.encode() + b".a"], count // CROWD, count // CROWD * CROWD)


def live(client: Client, taker: Taker, subjects: list[bytes], count: int, expected: int) -> float:
    """Publish, and at the same time take what is delivered of it."""
    failed: list[Exception] = []

    def publish() -> None:
        try:
            client.measure(publishes(subjects, count), count, WINDOW)
        except (LoadError, OSError) as error:
            failed.append(error)

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        rate = closing([taker], expected)
    finally:
        publisher.join()
    if failed:
        raise LoadError(f"publishing: {failed[0]}")
    return rate


def filtering(client: Client, server: Server, tag: str, count: int) -> float:
    """Ten thousand push consumers, each for ten of a hundred thousand subjects: one message for each subject in turn."""
    many = min(FILTERED, max(1, count // SUBJECTS_EACH))
    made = _many(client, server, tag, many)
    subjects = [f"{tag}.{number % many}.{number // many}".encode() for number in range(many * SUBJECTS_EACH)]
    return live(client, made, subjects, count, count)


def making(retention: str) -> Load:
    """As many durable consumers made as there are to be, each with a filter, many of the requests under way."""

    def load(client: Client, server: Server, tag: str, count: int) -> float:
        stream(client, tag, max_consumers=2 * count, retention=retention)

        def requests() -> Iterator[bytes]:
            for number in range(count):
                body = b'{"stream_name":"%b","config":{"durable_name":"C%d","ack_policy":"explicit","filter_subject":"%b.%d.*"}}' % (
                    tag.encode(), number, tag.encode(), number,
                )  # fmt: skip
                head = b"PUB $JS.API.CONSUMER.CREATE.%b.C%d.%b.%d.* " % (tag.encode(), number, tag.encode(), number)
                yield head + b"%b%07d %d\r\n%b\r\n" % (INBOX, number, len(body), body)

        return client.measure(requests(), count, 50)

    return load


def streams(client: Client, server: Server, tag: str, count: int) -> float:
    """As many streams made as there are to be, each with a message; many of the requests under way."""

    def requests() -> Iterator[bytes]:
        for number in range(count):
            body = b'{"name":"%b%d","subjects":["%b.%d"],"storage":"file"}' % (tag.encode(), number, tag.encode(), number)
            yield b"PUB $JS.API.STREAM.CREATE.%b%d %b%07d %d\r\n%b\r\n" % (tag.encode(), number, INBOX, number, len(body), body)

    begin = time.monotonic()
    client.measure(requests(), count, 50)
    client.measure(publishes([b"%b.%d" % (tag.encode(), number) for number in range(count)], count), count, 50)
    return count / (time.monotonic() - begin)


def _many(client: Client, server: Server, tag: str, many: int) -> Taker:
    """Consumers with a filter each, all delivering to one place."""
    stream(client, tag, max_consumers=2 * many)  # without it no more than 1,000
    taker = Taker(server)
    taker.listen(f"deliver.{tag}")

    def requests() -> Iterator[bytes]:
        for number in range(many):
            name, end = f"C{number}", f"{tag}.{number}.*"
            body = (
                f'{{"stream_name":"{tag}","config":{{"name":"{name}","ack_policy":"none","filter_subject":"{end}",'
                f'"deliver_subject":"deliver.{tag}","inactive_threshold":600000000000}}}}'
            ).encode()
            yield f"PUB $JS.API.CONSUMER.CREATE.{tag}.{name}.{end} ".encode() + b"%b%07d %d\r\n%b\r\n" % (INBOX, number, len(body), body)

    client.measure(requests(), many, 50)
    return taker


def queue(client: Client, server: Server, tag: str, count: int) -> float:
    """A work queue that eight clients drain by fetching."""
    count = max(BATCH, count // BATCH * BATCH)
    filled(client, tag, count, retention="workqueue")
    consumer(client, tag, "C", max_ack_pending=50 * BATCH)
    takers = [Taker(server, number, acks=True, request=next_of(tag, "C"), batch=BATCH) for number in range(QUEUE_CLIENTS)]
    for taker in takers:
        taker.begin()
    rate = closing(takers, count)
    acknowledged(client, tag, "C", count)
    for _ in range(2_000):
        left = client.ask(f"STREAM.INFO.{tag}", {})["state"]["messages"]  # type: ignore[index]
        if not left:
            return rate
    raise LoadError(f"{left} messages are left in the work queue")


def kept_up(client: Client, server: Server, tag: str, count: int) -> float:
    """Publishing, while one consumer fetches and acknowledges all of it."""
    count = max(BATCH, count // BATCH * BATCH)
    stream(client, tag)
    consumer(client, tag, "C", max_ack_pending=50 * BATCH)
    taker = Taker(server, acks=True, request=next_of(tag, "C"), batch=BATCH)
    taker.begin()
    return live(client, taker, [tag.encode() + b".a"], count, count)


def bucket(client: Client, tag: str) -> None:
    client.ask(
        f"STREAM.CREATE.{tag}",
        {
            "name": tag, "subjects": [f"{tag}.>"], "max_msgs_per_subject": 1, "discard": "new", "deny_delete": True,
            "allow_rollup_hdrs": True, "allow_direct": True, "storage": "file",
        },
    )  # fmt: skip


def put_and_get(client: Client, server: Server, tag: str, count: int) -> float:
    """A value put and got, one request at a time."""
    bucket(client, tag)

    def requests() -> Iterator[bytes]:
        for number in range(count // 2):
            key = f"{tag}.k{number % 1000}".encode()
            yield b"PUB %b %b%07d %d\r\n%b\r\n" % (key, INBOX, number, len(KEYED), KEYED)
            yield b"PUB $JS.API.DIRECT.GET.%b.%b %b%07d 0\r\n\r\n" % (tag.encode(), key, INBOX, number)

    return client.measure(requests(), count // 2 * 2, 1)


def watch(client: Client, server: Server, tag: str, count: int) -> float:
    """All keys of a bucket, by the consumer that clients make to watch."""
    bucket(client, tag)
    client.measure(publishes([f"{tag}.k{number}".encode() for number in range(count)], count), count, WINDOW)
    taker = Taker(server)
    taker.listen(f"deliver.{tag}")
    config = {
        "deliver_policy": "last_per_subject", "deliver_subject": f"deliver.{tag}", "ack_policy": "none", "filter_subject": f"{tag}.>",
        "flow_control": True, "idle_heartbeat": 5_000_000_000, "max_deliver": 1, "mem_storage": True, "num_replicas": 1,
    }  # fmt: skip
    client.ask(f"CONSUMER.CREATE.{tag}", {"stream_name": tag, "config": config})
    return closing([taker], count)


def by_go(binary: Path, case: str) -> Load:
    """What nats.go measures of itself."""

    def load(client: Client, server: Server, tag: str, count: int) -> float:
        command = [str(binary), server.url, case, str(GO_CASES[case]), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=GO_TIMEOUT)
        if done.returncode:
            raise LoadError(f"nats.go, {case}: {done.stderr.strip()}")
        return float(done.stdout)

    return load
