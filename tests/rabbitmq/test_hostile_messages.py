"""Messages that would end the connection of a worker which reads them with the client library alone."""

from dataclasses import dataclass

import pytest

from tests.rabbitmq.rig import (
    BODY,
    KEY,
    QUEUE,
    Inbox,
    Rig,
    long_text,
    moment,
    nested,
    properties,
    table,
    text,
    values,
)
from worker.rabbitmq.topology import DEAD_LETTERS

pytestmark = pytest.mark.rabbitmq


@dataclass(frozen=True)
class Case:
    """One way to be hostile."""

    reason: str
    raw: bytes


CASES = [
    Case("latin-1 in a property", properties(correlation_id=text(b"caf\xe9"))),
    Case("microseconds where seconds belong", properties(timestamp=moment(1_700_000_000_000_000))),
    Case("the last date of all", properties(timestamp=moment(2**64 - 1))),
    Case("latin-1 in a header's name", properties(headers=table((b"\xe9", b"V")))),
    Case("latin-1 in a header's value", properties(headers=table((b"k", long_text(b"\xe9"))))),
    Case("a header's date past the year 9999", properties(headers=table((b"k", b"T" + moment(2**63))))),
    Case("headers nested five thousand deep", properties(headers=table((b"k", nested(5000))))),
    Case("a list as long as a frame", properties(headers=table((b"k", values(b"A", 120_000 * b"V"))))),
    Case("x-death that is a text", properties(headers=table((b"x-death", long_text(b"x"))))),
    Case("one name twice", properties(headers=table((b"k", b"V"), (b"k", b"V")))),
]


async def test_hostile_messages_harm_nobody(rig: Rig) -> None:
    """Each is delivered, rejected, delivered again as a dead letter and settled, and no connection is lost."""
    consumer, inbox, buried = rig.consumer(), Inbox(), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 5)
        await consumer.open(DEAD_LETTERS, buried, 5)
        for case in CASES:
            await rig.probe.publish_raw(case.raw)
            delivery = await inbox.next()
            assert delivery.message.body == b"{}", case.reason
            await delivery.reject()
            letter = await buried.next()
            assert "x-death" in letter.message.headers, case.reason
            await letter.ack()
        await rig.probe.publish(BODY, KEY)
        assert (await inbox.next()).message.body == BODY
    assert rig.watcher.losses == []


async def test_hostile_routing_key(rig: Rig) -> None:
    """A key that is no text goes through the alternate exchange to the dead letters, and can be read there."""
    consumer, buried = rig.consumer(), Inbox()
    async with rig.running(consumer):
        await consumer.open(DEAD_LETTERS, buried, 5)
        await rig.probe.publish_raw(properties(), key=b"request.\xff\xfe")
        letter = await buried.next()
        await letter.ack()
    assert letter.message.routing_key == "request.??"
    assert rig.watcher.losses == []
