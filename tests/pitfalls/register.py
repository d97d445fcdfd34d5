"""The register: every pitfall of the reliability study, in its order, each with the tests that expose it here."""

from tests.pitfalls import register_broker, register_dead_letters, register_ledger
from tests.pitfalls.pitfall import Pitfall

PITFALLS: tuple[Pitfall, ...] = (
    *register_broker.PITFALLS,
    *register_dead_letters.PITFALLS,
    *register_ledger.PITFALLS,
)
