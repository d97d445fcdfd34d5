"""Playing one row of the matrix: real processes, a real RabbitMQ, a real ledger, and the sandbox's count at the end."""

import time
from contextlib import AsyncExitStack

from tests.evidence.crash_row import GATE, Place, Row, RowResult, Setting, Way
from tests.evidence.crash_scene import RowFailed, Scene


async def play(row: Row, place: Place, *, patience: float = 60.0) -> RowResult:
    """Play a row from its first worker to the last promise; never raises for what goes wrong in it.

    Args:
        row: What to play.
        place: Where.
        patience: Seconds for everything that is awaited.
    """
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        scene = await Scene.set(row, place, stack, patience)
        try:
            await _play(scene)
        except RowFailed as failure:
            scene.complaints.append(str(failure))
        except Exception as failure:  # noqa: BLE001 - one row that breaks must not end the run of all others
            scene.complaints.append(f"{type(failure).__name__}: {failure}")
        scene.check_logs()
        scene.house.sandbox.gate(GATE).set()
        await scene.house.sandbox.settle()
        return scene.result(time.monotonic() - began)


async def _play(scene: Scene) -> None:
    row, sandbox = scene.row, scene.house.sandbox
    doomed = await scene.doomed()
    for name in ("second", "third") if row.setting is Setting.THREE else ():
        await scene.steady(name)
    await scene.look_on()
    await scene.ask_until_dead(doomed)
    sandbox.faults.clear()
    if row.way is not Way.SILENT_MADE_LATER:
        sandbox.gate(GATE).set()
        await sandbox.settle()
    victim = await scene.victim(doomed)
    await scene.check_the_moment(victim)
    if row.deaths > 1:
        await scene.dies(await scene.doomed())
    if row.setting is not Setting.THREE:
        await scene.steady("successor")
    if row.way is Way.SILENT_MADE_LATER:
        await scene.make_it_now()
    await scene.rest()
    await scene.ask_afterwards()
    await scene.rest()
    await scene.check_promises(victim)
