"""Faults that come by themselves, when the seed wants it: to clocks, connections, broker, ledger, providers."""

from collections.abc import Sequence

from tests.simulation.machine import Machine, Surroundings
from tests.simulation.vendors import UNAVAILABLE, Vendor
from tests.simulation.weather import CLOCK_ERRORS, Fault


class Mischief:
    """Does harm until it is told to stop; what befalls a single step or message is drawn where it happens."""

    def __init__(self, around: Surroundings, machines: Sequence[Machine]) -> None:
        self._around = around
        self._scene = around.scene
        self._machines = machines

    def begin(self) -> None:
        """From now on, again and again."""
        scene = self._scene
        scene.often(Fault.CLOCK_STEP, self._set_clock)
        scene.often(Fault.CONNECTION, self._lose_a_connection)
        scene.often(Fault.BROKER_RESTART, self._restart_broker)
        scene.often(Fault.BROKER_FREEZE, self._freeze_broker)
        scene.often(Fault.LEDGER_AWAY, self._take_ledger_away)
        scene.often(Fault.OUTAGE, self._begin_outage)

    def end(self) -> None:
        """From now on nothing goes wrong any more, and what is out of order works again."""
        self._scene.trace.tell("weather", "the faults are over")
        self._scene.quiet = True
        self._bring_ledger_back()
        self._around.broker.thaw()
        for vendor in self._around.vendors.values():
            self._end_outage(vendor)
        for machine in self._machines:
            machine.recover()

    def _set_clock(self) -> None:
        """Somebody sets the time of day where the ledger lies; time itself goes on."""
        scene = self._scene
        far = scene.dice.choice(CLOCK_ERRORS)
        scene.clock_error = scene.between(-far, far)
        scene.trace.fault(Fault.CLOCK_STEP, "ledger", f"{scene.clock_error:+.1f} s")

    def _lose_a_connection(self) -> None:
        machine = self._scene.dice.choice(self._machines)
        self._scene.trace.fault(Fault.CONNECTION, "broker")
        machine.lose_connections(both=False)

    def _restart_broker(self) -> None:
        self._scene.trace.fault(Fault.BROKER_RESTART, "broker")
        for machine in self._machines:
            machine.lose_connections(both=True)

    def _freeze_broker(self) -> None:
        seconds = self._scene.between(0.5, 15.0)
        self._scene.trace.fault(Fault.BROKER_FREEZE, "broker", f"{seconds:.1f} s")
        self._around.broker.freeze(seconds)

    def _take_ledger_away(self) -> None:
        if not self._around.books.away:
            seconds = self._scene.between(0.1, 10.0)
            self._scene.trace.fault(Fault.LEDGER_AWAY, "ledger", f"{seconds:.1f} s")
            self._around.books.away = True
            self._scene.loop.after(seconds, self._bring_ledger_back)

    def _bring_ledger_back(self) -> None:
        self._around.books.away = False

    def _begin_outage(self) -> None:
        vendor = self._scene.dice.choice(tuple(self._around.vendors.values()))
        if vendor.trouble is None:
            vendor.trouble = self._scene.dice.choice(UNAVAILABLE)
            seconds = self._scene.between(1.0, 30.0)
            self._scene.trace.fault(f"outage {vendor.trouble}", vendor.kind.name, f"{seconds:.1f} s")
            self._scene.loop.after(seconds, self._end_outage, vendor)

    def _end_outage(self, vendor: Vendor) -> None:
        vendor.trouble = None
