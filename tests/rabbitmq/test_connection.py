"""Connecting: who is let in, what is said when not, and what never is."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.rabbitmq.rig import BODY, KEY, QUEUE, TOPOLOGY, Inbox, Rig, Watcher, within
from tests.rabbitmq.tls import tls_in_front_of
from worker.core.clock import SystemClock
from worker.core.errors import BrokerUnavailable, ConfigurationError
from worker.local.loopback import free_ports
from worker.rabbitmq.connection import Connection, ConnectionSettings
from worker.rabbitmq.consumer import Consumer

CANARY = "s3cr3t-canary"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "nothing"),
        (CANARY, "no scheme"),
        (f"http://user:{CANARY}@host/", "another scheme"),
        (f"amqp:///{CANARY}", "no host"),
        (f"amqp://user:{CANARY}@host:port/", "a port that is no number"),
        (f"amqp://user:{CANARY}@host:99999/", "a port there is not"),
        (f"amqp://user:{CANARY}#x@host/", "a # in the password"),
        (f"amqp://user:12/{CANARY}@host/", "a / in the password"),
        (f"amqp://user:12?{CANARY}@host/", "a ? in the password"),
        (f"amqp://user:{CANARY}@[::1/", "half an address"),
    ],
)
def test_url_that_is_none(url: str, reason: str) -> None:
    """The error names the setting and shows nothing of its value."""
    with pytest.raises(ConfigurationError, match="PROVISIONER_BROKER__URL must be of the form") as raised:
        ConnectionSettings(url)
    assert CANARY not in str(raised.value), reason
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (f"amqp://user:{CANARY}@host:5672/vhost", "amqp://user:***@host:5672/vhost"),
        (f"amqps://user:{CANARY}@host/%2F?cafile=/x", "amqps://user:***@host/%2F"),
        ("amqp://host", "amqp://host"),
        (f"amqp://user:{CANARY}@[::1]:5672/v", "amqp://user:***@[::1]:5672/v"),
        ("amqp://user:%2F%40@host/", "amqp://user:***@host/"),
    ],
)
def test_address_is_the_url_without_secrets(url: str, address: str) -> None:
    """For people; repr shows not even that."""
    settings = ConnectionSettings(url)
    assert settings.address == address
    assert url not in repr(settings)
    assert CANARY not in repr(settings)


@pytest.mark.rabbitmq
async def test_wrong_password_at_the_first_start(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """One try, an error that names the setting, and the password nowhere."""
    caplog.set_level(logging.DEBUG)
    settings = replace(rig.settings, url=f"amqp://user:{CANARY}@127.0.0.1:{rig.node.port}/{rig.vhost}")
    with pytest.raises(ConfigurationError, match=r"PROVISIONER_BROKER__URL .*ACCESS_REFUSED") as raised:
        await within(rig.consumer(settings=settings).run())
    assert CANARY not in str(raised.value) + repr(raised.value) + caplog.text
    assert rig.watcher.changes == []


@pytest.mark.rabbitmq
async def test_missing_virtual_host_at_the_first_start(rig: Rig) -> None:
    """The client library hides the broker's answer; we heard it."""
    settings = replace(rig.settings, url=rig.settings.url + "-missing")
    with pytest.raises(ConfigurationError, match=rf"NOT_ALLOWED - vhost {rig.vhost}-missing not found"):
        await within(rig.publisher(settings=settings).run())


@pytest.mark.rabbitmq
async def test_login_refused_later_is_waited_out(rig: Rig) -> None:
    """A virtual host deleted under a running worker: it stays, says why, and is back with the virtual host."""
    consumer, inbox = rig.consumer(), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 3)
        await rig.until_consuming(consumer)
        await asyncio.to_thread(rig.node.delete_vhost, rig.vhost)
        await rig.watcher.until(lambda: "not found" in rig.watcher.changes[-1].detail)
        assert not consumer.connected
        await asyncio.to_thread(rig.node.add_vhost, rig.vhost)
        await rig.until_consuming(consumer)
        await rig.probe.publish(BODY, KEY)
        await (await inbox.next()).ack()


@pytest.mark.rabbitmq
async def test_limit_of_connections_is_waited_out(rig: Rig) -> None:
    """A limit that is reached is no mistake in the settings: another process may end any moment."""
    await rig.ctl("set_vhost_limits", "--vhost", rig.vhost, '{"max-connections": 0}')
    consumer = rig.consumer()
    running = asyncio.create_task(consumer.run())
    await rig.watcher.until(lambda: rig.watcher.changes)
    assert "limit" in rig.watcher.changes[0].detail
    await rig.ctl("clear_vhost_limits", "--vhost", rig.vhost)
    await rig.watcher.until(lambda: consumer.connected)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_broker_that_is_not_there_is_told_once() -> None:
    """Pitfall 20: an unreachable broker is one fact, however often it is tried; the process goes on trying."""
    port = free_ports(1)[0]
    tries: list[float] = []

    class Hurried(SystemClock):
        async def sleep(self, seconds: float) -> None:
            tries.append(seconds)
            if len(tries) == 20:
                await asyncio.Event().wait()

    watcher = Watcher()
    settings = ConnectionSettings(f"amqp://user:{CANARY}@127.0.0.1:{port}/", longest_pause=10.0)
    consumer = Consumer(settings, TOPOLOGY, observer=watcher, clock=Hurried())
    running = asyncio.create_task(consumer.run())
    while len(tries) < 20:
        await asyncio.to_thread(lambda: None)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    (change,) = watcher.changes
    assert not change.up
    assert f"connecting to amqp://user:***@127.0.0.1:{port}/" in change.detail
    assert CANARY not in change.detail
    assert tries[0] < 1 < max(tries) <= 10
    assert all(pause >= 5 for pause in tries[-5:])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "no answer within 0.3 s"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "connecting to"),
        (b"AMQP\x00\x01\x00\x00", "connecting to"),
        (b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x0a\xce", "connecting to"),
    ],
    ids=["silence", "HTTP", "another version of AMQP", "half a frame"],
)
async def test_something_that_is_no_broker(answer: bytes, reason: str) -> None:
    """Whatever listens there, the try ends by its deadline or with a reason; nothing raises, nothing hangs."""
    left = asyncio.Event()

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        with suppress(ConnectionError):
            while await reader.read(100):
                pass
        writer.close()
        left.set()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    watcher = Watcher()
    settings = ConnectionSettings(
        f"amqp://127.0.0.1:{server.sockets[0].getsockname()[1]}/", connect_timeout=0.3, longest_pause=60
    )
    consumer = Consumer(settings, TOPOLOGY, observer=watcher, clock=Patient())
    running = asyncio.create_task(consumer.run())
    await watcher.until(lambda: watcher.changes)
    await within(left.wait())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    server.close()
    assert reason in watcher.changes[0].detail
    assert not watcher.changes[0].up


class Patient(SystemClock):
    """Pauses for ever."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


@pytest.mark.rabbitmq
async def test_tls(rig: Rig, tmp_path: Path) -> None:
    """The URL's query names the authority that vouches for the broker; without it the broker is not trusted."""
    async with tls_in_front_of(rig.node.port, tmp_path) as (port, authority):
        plain = rig.settings.url.partition("@")
        url = f"amqps{plain[0].removeprefix('amqp')}@localhost:{port}/{rig.vhost}"
        consumer, inbox = (
            rig.consumer(settings=replace(rig.settings, url=f"{url}?cafile={authority}")),
            Inbox(),
        )
        async with rig.running(consumer):
            await consumer.open(QUEUE, inbox, 3)
            await rig.probe.publish(b"x" * 1_000_000, KEY)
            assert len((await inbox.next()).message.body) == 1_000_000
        with pytest.raises(BrokerUnavailable, match="certificate verify failed"):
            await Connection.open(replace(rig.settings, url=url), "test")


async def test_missing_certificates() -> None:
    """A file that is not there is a mistake in the settings, named as one."""
    settings = ConnectionSettings("amqps://127.0.0.1/?cafile=/nowhere/ca.pem")
    with pytest.raises(ConfigurationError, match=r"PROVISIONER_BROKER__URL .* cannot read its cafile"):
        await Connection.open(settings, "test")


@pytest.mark.rabbitmq
async def test_end_comes_at_any_moment(rig: Rig) -> None:
    """A consumer that is busy with the broker ends at once when it is cancelled, wherever that hits it."""
    settings = replace(rig.settings, watch_every=0.001)
    for moment in range(30):
        consumer = rig.consumer(settings=settings)
        async with rig.running(consumer):
            await consumer.open(QUEUE, Inbox(), 3)
            for _ in range(moment):
                await asyncio.to_thread(lambda: None)
