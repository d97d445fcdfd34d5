"""The providers as they are: what they carry out, when, what of it is seen, and what anybody could find out there.

A vendor knows the truth. Nobody but its adapters and the checks may ask it, except for an operator who looks there.
"""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Final

from tests.simulation.life import Life
from tests.simulation.scene import Scene
from tests.simulation.weather import LATEST_ACT, READ_LAG, Fault
from worker.core.verdict import Moment

UNAVAILABLE: Final = ("busy", "error", "unreachable", "credentials", "limit")
"""The ways in which a vendor is out of order for a while."""


TAKEN: Final = "-taken"
"""Ends a name that another took long ago."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a vendor is like.

    Attributes:
        name: Of the provider.
        can_look_up: Whether anybody can ask for an account afterwards.
        unique: Whether it refuses a second account of the same name; the others open one.
        issues_key: Whether its answer brings a key that is shown once.
        generates: Whether it wants a password, which the worker makes up where none is given.
        test_mode: Whether it tries requests without opening anything.
    """

    name: str
    can_look_up: bool = True
    unique: bool = False
    issues_key: bool = False
    generates: bool = False
    test_mode: bool = False


KINDS: Final = (
    Kind("keyed"),
    Kind("named", unique=True, generates=True),
    Kind("blind", can_look_up=False, issues_key=True),
    Kind("secretive", issues_key=True, test_mode=True),
)


@dataclass(frozen=True, slots=True)
class Account:
    """An account that was really opened."""

    account_id: str
    company: str
    api_key: str
    opened_at: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What came back."""

    moment: Moment
    status: int | None = None
    error_id: str | None = None
    failure: str | None = None
    wait: float | None = None
    account: Account | None = None
    readable: bool = True


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A key came to a process."""

    life: Life
    at: float


@dataclass
class Vendor:
    """One of them.

    Attributes:
        accounts: What was opened, by name; in the order of opening.
        trouble: Which way it is out of order now, or None.
        on_the_way: Creates that may still be carried out, by name.
        creates: How many came here; `listened_for` of them somebody waits for now.
        handed_over: To whom a key was told last, by name.
    """

    kind: Kind
    scene: Scene
    accounts: dict[str, list[Account]] = field(default_factory=dict)
    trouble: str | None = None
    on_the_way: dict[str, int] = field(default_factory=dict)
    handed_over: dict[str, HandedOver] = field(default_factory=dict)
    creates: int = 0
    listened_for: int = 0

    def send(self, company: str, *, dry_run: bool) -> "asyncio.Future[Seen]":
        """The first byte of a create has left; the answer as the worker will see it."""
        self.creates += 1
        answer: asyncio.Future[Seen] = self.scene.loop.create_future()
        self.on_the_way[company] = self.on_the_way.get(company, 0) + 1
        plan = _Create(self, company, answer, dry_run=dry_run)
        plan.begin()
        return answer

    def open(self, company: str) -> Account:
        """Carry out a create: an account more, whatever there was before."""
        opened = self.accounts.setdefault(company, [])
        number = f"{company}/{len(opened) + 1}"
        account = Account(f"A-{self.kind.name}-{number}", company, f"key of {number}", self.scene.loop.now)
        opened.append(account)
        self.scene.trace.tell(self.kind.name, f"opens {account.account_id}")
        if len(opened) > 1:
            self.scene.trace.fail("at most one account", f"{self.kind.name} opened {account.account_id}")
        return account

    def shown(self, company: str) -> list[Account]:
        """What a read shows now; it lags behind."""
        lag = READ_LAG * self.scene.dice.random()
        latest = self.scene.loop.now - lag
        return [account for account in self.accounts.get(company, ()) if account.opened_at <= latest]

    def may_still_open(self, company: str) -> bool:
        """Whether a create for this name is on the way."""
        return self.on_the_way.get(company, 0) > 0

    def arrived(self, company: str) -> None:
        """A create will never be carried out from now on, if it was not by now."""
        self.on_the_way[company] -= 1


class _Create:
    """What becomes of one create: carried out or not, answered or not, each at a time of its own."""

    def __init__(
        self, vendor: Vendor, company: str, answer: "asyncio.Future[Seen]", *, dry_run: bool
    ) -> None:
        self._vendor = vendor
        self._scene = vendor.scene
        self._company = company
        self._answer = answer
        self._dry_run = dry_run
        self._account: Account | None = None

    def begin(self) -> None:
        """Draw its fate."""
        scene = self._scene
        takes = scene.between(0.02, 0.6)
        if scene.strikes(Fault.LATE):
            takes = scene.between(5.0, LATEST_ACT)
            scene.trace.fault(Fault.LATE, self._vendor.kind.name, f"{self._company} takes {takes:.1f} s")
        if self._vendor.trouble is not None:
            scene.loop.after(takes, self._refuse, self._vendor.trouble)
        elif scene.strikes(Fault.CREATE):
            self._fail(takes)
        else:
            scene.loop.after(takes * scene.dice.random(), self._act)
            scene.loop.after(takes, self._tell_all)

    # --- well ---------------------------------------------------------------------------------------------------

    def _act(self) -> None:
        vendor = self._vendor
        taken = self._company.endswith(TAKEN) or bool(vendor.accounts.get(self._company))
        if not self._dry_run and not (vendor.kind.unique and taken):
            self._account = vendor.open(self._company)
        vendor.arrived(self._company)

    def _tell_all(self) -> None:
        if self._account is None and not self._dry_run:
            self._see(Seen(Moment.ANSWER_READ, 409, "name_taken"))
        else:
            self._see(Seen(Moment.ANSWER_READ, 201, account=self._account))

    # --- out of order -------------------------------------------------------------------------------------------

    def _refuse(self, trouble: str) -> None:
        """Nothing is carried out, and it says so, or the connection ends before the first byte."""
        self._vendor.arrived(self._company)
        match trouble:
            case "busy":
                self._see(Seen(Moment.ANSWER_READ, 503, "busy"))
            case "error":
                self._see(Seen(Moment.ANSWER_READ, 500))
            case "credentials":
                self._see(Seen(Moment.ANSWER_READ, 401, "credentials"))
            case "limit":
                self._see(Seen(Moment.ANSWER_READ, 429, "limit", wait=self._scene.between(0.5, 15.0)))
            case _:
                self._see(Seen(Moment.REQUEST_SENT, failure="closed"))

    # --- faults -------------------------------------------------------------------------------------------------

    def _fail(self, takes: float) -> None:
        """Something is seen that tells little; carried out or not, before it or after it."""
        scene = self._scene
        kind = scene.dice.choice(tuple(_FAILURES))
        acts = scene.dice.random() < 0.5
        when = scene.between(0.0, takes) if scene.dice.random() < 0.5 else scene.between(0.0, LATEST_ACT)
        words = f"carried out after {when:.1f} s" if acts else "not carried out"
        scene.trace.fault(f"create {kind}", self._vendor.kind.name, f"{self._company} {words}")
        if acts:
            scene.loop.after(when, self._act)
        else:
            scene.loop.after(when, self._vendor.arrived, self._company)
        told = acts and when <= takes
        seen = _FAILURES["cut" if kind in _TELLING and not told else kind]
        if seen is not None:
            scene.loop.after(takes, self._show, seen)

    def _show(self, seen: Seen) -> None:
        if seen.status == 201:
            if self._account is None and not self._dry_run:
                self._tell_all()  # it was refused: there is nothing to leave out
                return
            seen = replace(seen, account=self._account)
        self._see(seen)

    def _see(self, seen: Seen) -> None:
        if not self._answer.done():
            self._answer.set_result(seen)


_FAILURES: Final = {
    "cut": Seen(Moment.REQUEST_SENT, failure="closed"),
    "cut at the first byte": Seen(Moment.HEADERS_SENT, failure="closed"),
    "silent": None,
    "server error": Seen(Moment.ANSWER_READ, 500),
    "garbled": Seen(Moment.REQUEST_SENT, failure="garbled"),
    "foreign page": Seen(Moment.ANSWER_READ, 502, readable=False),
    "body cut": Seen(Moment.STATUS_READ, 201, failure="body_cut", readable=False),
    "key left out": Seen(Moment.ANSWER_READ, 201, failure="key left out"),
}
"""What is seen of a create that goes wrong; None: nothing, ever."""

_TELLING: Final = frozenset({"body cut", "key left out"})
"""Seen only of what was carried out before."""
