"""The verbs that look at RabbitMQ, on a real one."""

import asyncio

import aio_pika
import pytest
from pamqp.common import FieldTable

from tests.cli.terminal import Terminal
from worker.local.rabbitmq_node import RabbitmqNode

pytestmark = pytest.mark.rabbitmq

CANARY = {"PROVIDERS__CANARY_SPEECH__API_KEY": "x:y"}
QUEUE = "provisioning.requests.canary_speech"
DEAD_LETTERS = "provisioning.dead-letters"


@pytest.fixture
def at_the_broker(bare: Terminal, broker_url: str) -> Terminal:
    """A terminal with an empty virtual host."""
    bare.environment["PROVISIONER_BROKER__URL"] = broker_url
    return bare


def found(terminal: Terminal, **settings: str) -> tuple[bool, str]:
    """What `config check --online` says of RabbitMQ."""
    diagnoses = terminal("config", "check", "--online", "--json", **CANARY, **settings).json
    return next((it["well"], it["words"]) for it in diagnoses if it["part"] == "rabbitmq")


def test_from_an_empty_broker_to_one_as_wanted(at_the_broker: Terminal) -> None:
    """Check names what is missing and the command that helps; declare makes it and says what; then all is well."""
    missing = at_the_broker("topology", "check", **CANARY)
    assert missing.code == 78
    assert f"queue {QUEUE} is missing\n    `provisioner topology declare` creates it" in missing.err
    assert found(at_the_broker) == (True, "reached; the first start will declare 6 exchanges and queues")
    assert found(at_the_broker, BROKER__DECLARE="false")[0] is False

    declared = at_the_broker("topology", "declare", **CANARY)
    assert f"queue {QUEUE} is declared now" in declared.out
    assert at_the_broker("topology", "declare", "--json", **CANARY).json == {"declared": []}
    assert at_the_broker("topology", "check", **CANARY).code == 0
    assert at_the_broker("topology", "check", "--json", **CANARY).json == []
    assert found(at_the_broker) == (True, "reached; exchanges and queues are as wanted")


def test_a_queue_with_other_arguments_is_told_and_left_alone(
    at_the_broker: Terminal, broker_url: str
) -> None:
    """What differs is named with what is there, what is wanted and what helps; no verb changes it."""
    asyncio.run(_declare_another(broker_url))
    said = at_the_broker("topology", "check", "--json", **CANARY)
    gap = next(it for it in said.json if QUEUE in it["what"])
    assert (said.code, "where 1000 is wanted" in gap["what"], gap["compared"]) == (78, True, True)
    assert f"rabbitmqctl delete_queue {QUEUE} --if-empty" in gap["remedy"]
    declared = at_the_broker("topology", "declare", **CANARY)
    assert (declared.code, QUEUE in declared.err) == (78, True)
    well, words = found(at_the_broker)
    assert (well, QUEUE in words) == (False, True)


def test_what_the_user_may_not_compare_is_told_as_such(
    at_the_broker: Terminal, broker_url: str, rabbitmq_node: RabbitmqNode
) -> None:
    """Without the configure right nothing is known to be as wanted: 78, with the reason and what helps, for each."""
    assert at_the_broker("topology", "declare", **CANARY).code == 0
    virtual_host = broker_url.rpartition("/")[2]
    user = f"reader-{virtual_host}"
    rabbitmq_node.rabbitmqctl("add_user", user, "secret-canary")
    rabbitmq_node.rabbitmqctl("set_permissions", "--vhost", virtual_host, user, "^$", ".*", ".*")
    at_the_broker.environment["PROVISIONER_BROKER__URL"] = broker_url.replace(
        broker_url.split("@", maxsplit=1)[0], f"amqp://{user}:secret-canary"
    )
    said = at_the_broker("topology", "check", **CANARY)
    assert (said.code, said.out) == (78, "")
    assert (
        f"not compared: queue {QUEUE} is there and could not be compared: the user has no configure right on it\n"
        "    run `provisioner topology check` once with a user that has it"
    ) in said.err
    listed = at_the_broker("topology", "check", "--json", **CANARY)
    assert (listed.code, [gap["compared"] for gap in listed.json]) == (78, [False] * 6)
    well, words = found(at_the_broker, BROKER__DECLARE="false")
    assert (well, f"nothing is missing, but exchange {DEAD_LETTERS} is there and could" in words) == (
        True,
        True,
    )
    assert found(at_the_broker)[0] is False
    rabbitmq_node.rabbitmqctl("delete_user", user)


def test_a_refused_login_names_the_setting(at_the_broker: Terminal, broker_url: str) -> None:
    """A wrong password is for a person to change: 78, masked."""
    password = broker_url.split(":")[2].split("@", maxsplit=1)[0]
    at_the_broker.environment["PROVISIONER_BROKER__URL"] = broker_url.replace(password, "geheim")
    said = at_the_broker("topology", "check", **CANARY)
    assert (said.code, "PROVISIONER_BROKER__URL" in said.err) == (78, True)
    assert "geheim" not in said.everything


@pytest.mark.parametrize("wait", [(), ("--wait",)])
def test_a_request_for_an_empty_broker_names_the_command_that_helps(
    at_the_broker: Terminal, wait: tuple[str, ...]
) -> None:
    """Nothing is published where no exchange is; 78, and what makes one."""
    said = at_the_broker("submit", "--provider", "canary_speech", "-p", "name=x", *wait)
    assert (said.code, "provisioner topology declare" in said.err) == (78, True)
    assert "no exchange 'provisioning." in said.err


async def _declare_another(broker_url: str) -> None:
    """Somebody else's idea of the queue."""
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        arguments: FieldTable = {
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": "provisioning.dead-letters",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-delivery-limit": 7,
        }
        await channel.declare_queue(QUEUE, durable=True, arguments=arguments)
