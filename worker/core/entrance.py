"""What is let in, and what ends before a provider is asked: by the contracts, the settings and the clock alone."""

from contracts.reason import ReasonCode
from worker.core.broker import Message
from worker.core.decode import Decoded, Refusal, decode, read_parameters, refuse
from worker.core.desk import Desk
from worker.core.entry import Arrival, Entry
from worker.core.provider import Order, Provider
from worker.core.retry import Decision, Hold, Refuse


def read(desk: Desk, message: Message) -> Arrival | Refusal:
    """Decode and validate by the contracts; what is wrong comes back in words."""
    request = decode(message, desk.limits)
    if isinstance(request, Refusal):
        return request
    provider = desk.providers.get(request.data.provider)
    if provider is None:
        return _no_provider(desk, request)
    parameters = read_parameters(request, provider.Parameters)
    if isinstance(parameters, Refusal):
        return parameters
    return desk.orders.arrival(request, parameters, desk.clock.now())


def _no_provider(desk: Desk, request: Decoded) -> Refusal:
    if request.data.provider in desk.orders.known:
        words = "this provider is known, but not configured in this deployment"
        return refuse(request, ReasonCode.PROVIDER_NOT_CONFIGURED, "/provider", words)
    known = ", ".join(sorted(desk.orders.known))
    return refuse(request, ReasonCode.UNKNOWN_PROVIDER, "/provider", f"no such provider; there are {known}")


def ends_unsent(desk: Desk, entry: Entry, order: Order, provider: Provider) -> Decision | None:
    """What ends a request before the provider is asked; None when nothing does."""
    if entry.account_id is not None:  # an older attempt was answered after all
        return Hold.known(entry.account_id)
    if is_late(desk, entry):
        return Refuse(ReasonCode.DEADLINE_PASSED)
    if entry.attempts >= desk.policy.attempts:
        return Hold(ReasonCode.ATTEMPTS_EXHAUSTED)
    if _hands_over(provider, order) and not desk.box.can_encrypt_for(entry.source):
        return Refuse(ReasonCode.NO_CONSUMER_KEY)  # of a dry run too: the real request would end so
    if entry.dry_run and not provider.HAS_TEST_MODE:
        return Refuse(ReasonCode.DRY_RUN_PASSED)
    return None


def is_late(desk: Desk, entry: Entry) -> bool:
    """Whether the request's deadline has passed."""
    left = time_left(desk, entry)
    return left is not None and left <= 0


def time_left(desk: Desk, entry: Entry) -> float | None:
    """Seconds until the request's deadline, which is a date of the requester's calendar; None where it has none."""
    if entry.deadline is None:
        return None
    return (entry.deadline - desk.clock.time_of_day()).total_seconds()


def _hands_over(provider: Provider, order: Order) -> bool:
    """Whether this order, in earnest, ends with credentials that somebody must be able to read."""
    return bool(order.generated) or provider.hands_over_credentials(order.parameters)
