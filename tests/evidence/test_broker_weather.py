"""Bad weather between a real worker and its broker, in both directions: it recovers, and every promise is kept."""

from pathlib import Path

import pytest

from tests.evidence.broker_side import Place
from tests.evidence.broker_weather import spells, weather
from tests.evidence.promises import assert_back_in_time, assert_kept
from tests.evidence.proxy import Kind
from worker.local.rabbitmq_node import RabbitmqNode

_IMPATIENT = {"BROKER__HEARTBEAT": "5", "BROKER__OPERATION_TIMEOUT": "3", "BROKER__CONNECT_TIMEOUT": "3"}


@pytest.mark.rabbitmq
@pytest.mark.timeout(300)
async def test_every_kind_of_weather_passes(rabbitmq_node: RabbitmqNode, tmp_path: Path) -> None:
    """Delayed, cut, reset, half closed, stalled, torn in the middle of frames, swallowed: each time it goes on."""
    coming = spells(short=1, long=14, everything=False)
    result = await weather(Place(rabbitmq_node, tmp_path), coming, settings=_IMPATIENT)
    assert {name.removeprefix("broker connection ") for name in result.faults} == set(Kind)
    assert_kept(result)
    assert_back_in_time(result)
