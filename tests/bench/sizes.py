"""How much each part measures: in the short form, which anybody has time for, and in the long one, which counts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Counts and seconds, by part.

    Attributes:
        requests: In a round of throughput.
        rounds: Of throughput.
        throughput_within: Seconds after which no new round begins.
        shares: Of the measured rate, at which latency is measured.
        latency_seconds: For each share.
        in_flight: Requests in flight at once, one measurement each.
        waves: How often as many requests.
        starts: How often a worker is started.
        lease: Seconds; of the workers of which one is killed.
        backlog: Requests in the queue.
        backlog_within: Seconds.
        queued: Requests in the queue of `memory`.
        rows: In the ledger, one measurement each.
        retries: That wait.
        retries_within: Seconds in which they are all due.
        grown: Requests by which a ledger grows.
        rounds_of_costs: How often each piece of work is done.
    """

    requests: int
    rounds: int
    throughput_within: float
    shares: tuple[float, ...]
    latency_seconds: float
    in_flight: tuple[int, ...]
    waves: int
    starts: int
    lease: float
    backlog: int
    backlog_within: float
    queued: int
    rows: tuple[int, ...]
    retries: int
    retries_within: float
    grown: int
    rounds_of_costs: int


SHORT = Sizes(
    requests=400,
    rounds=3,
    throughput_within=25,
    shares=(0.5,),
    latency_seconds=5,
    in_flight=(100, 1000),
    waves=5,
    starts=3,
    lease=5,
    backlog=20_000,
    backlog_within=240,
    queued=10_000,
    rows=(10_000,),
    retries=2_000,
    retries_within=20,
    grown=2_000,
    rounds_of_costs=1_000,
)

LONG = Sizes(
    requests=2_000,
    rounds=9,
    throughput_within=1800,
    shares=(0.1, 0.5, 0.9),
    latency_seconds=60,
    in_flight=(100, 1000),
    waves=30,
    starts=9,
    lease=30,
    backlog=1_000_000,
    backlog_within=4 * 3600,
    queued=10_000,
    rows=(10_000, 1_000_000, 10_000_000),
    retries=100_000,
    retries_within=60,
    grown=20_000,
    rounds_of_costs=5_000,
)
