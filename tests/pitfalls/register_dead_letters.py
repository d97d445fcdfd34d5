"""Pitfalls 25 to 39: what waits, is given back or dies at the broker."""

from tests.pitfalls.pitfall import Pitfall

_CONSUMER = "tests/rabbitmq/test_consumer.py"
_RECOVERY = "tests/rabbitmq/test_recovery.py"
_TOPOLOGY = "tests/rabbitmq/test_topology.py"
_CONSUMING = "tests/pitfalls/test_consuming.py"
_DEAD_LETTERS = "tests/pitfalls/test_dead_letters.py"
_STRUCTURE = "tests/pitfalls/test_structure.py"
_VERSIONS = "tests/rabbitmq4/test_versions.py"

PITFALLS = (
    Pitfall(
        number=25,
        what="A message that is published again with the broker's own headers looks like a cycle of dead "
        "letters: it is confirmed, and then stuck or dropped.",
        tests=(
            f"{_DEAD_LETTERS}::test_a_dead_letter_that_is_replayed_again_and_again_comes_back_every_time",
            f"{_STRUCTURE}::test_no_message_waits_at_the_broker_for_its_time",
            "tests/core/test_burial.py::test_the_brokers_own_headers_are_left_out",
        ),
    ),
    Pitfall(
        number=26,
        what="Attempts are counted in `x-death`, which newer brokers do not carry on for messages that are "
        "published again.",
        tests=(
            f"{_STRUCTURE}::test_nothing_is_decided_by_the_brokers_own_counters",
            f"{_DEAD_LETTERS}::test_headers_of_the_broker_count_for_nothing",
            "tests/ledger/test_transitions.py::test_a_send_counts_an_attempt_and_keeps_what_was_seen_before_it",
            f"{_VERSIONS}::test_deaths_of_a_message_that_is_published_again",
        ),
        impossible="Attempts are a column of the row (`worker/ledger/schema.py`); no code reads a counter of the "
        "broker.",
    ),
    Pitfall(
        number=27,
        what="Messages of one queue with times to live of their own expire only at its head: a short delay "
        "waits behind a long one.",
        tests=(
            f"{_STRUCTURE}::test_no_message_waits_at_the_broker_for_its_time",
            "tests/core/test_upkeep.py::test_what_is_due_runs_again",
        ),
        impossible="Nothing has a time to live; delays are due times of rows (`worker/rabbitmq/topology.py`).",
    ),
    Pitfall(
        number=28,
        what="By default a dead letter is forwarded at most once: where its target is missing or down it is "
        "silently gone.",
        tests=(
            f"{_DEAD_LETTERS}::test_what_is_rejected_without_a_dead_letter_queue_is_kept",
            f"{_TOPOLOGY}::test_every_queue_is_safe",
        ),
    ),
    Pitfall(
        number=29,
        what="At-least-once needs `reject-publish` and falls back without a word; what it keeps is not "
        "counted as ready; a policy that changes the strategy deletes it.",
        tests=(
            f"{_DEAD_LETTERS}::test_what_is_rejected_without_a_dead_letter_queue_is_kept",
            f"{_TOPOLOGY}::test_every_queue_is_safe",
        ),
        remains="A policy with the overflow `drop-head` wins over the queue's own argument and ends at-least-"
        "once (seen on 3.10.8 and 4.0.5); AMQP shows no policy, so no check of ours sees it.",
    ),
    Pitfall(
        number=30,
        what="A delivery limit of -1 means unlimited on RabbitMQ 4 and drops the message at its first return"
        " on 3.10.",
        tests=(
            f"{_DEAD_LETTERS}::test_the_delivery_limit_is_real_and_none_is_none",
            f"{_CONSUMER}::test_requeue_brings_the_message_back",
            f"{_TOPOLOGY}::test_every_queue_is_safe",
            f"{_VERSIONS}::test_delivery_limits",
        ),
    ),
    Pitfall(
        number=31,
        what="The broker accepts arguments that it does not know, and a setting seems to be in force.",
        tests=(
            f"{_DEAD_LETTERS}::test_every_argument_of_the_topology_is_proven_by_what_the_broker_does",
            f"{_DEAD_LETTERS}::test_every_queue_is_a_quorum_queue",
            f"{_DEAD_LETTERS}::test_what_is_rejected_without_a_dead_letter_queue_is_kept",
            f"{_DEAD_LETTERS}::test_the_delivery_limit_is_real_and_none_is_none",
            f"{_CONSUMER}::test_reject_lands_among_the_dead_letters",
            f"{_CONSUMER}::test_alternate_exchange_catches_unknown_keys",
        ),
    ),
    Pitfall(
        number=32,
        what="A worker that crashes again and again makes dead letters of innocent messages: each that was "
        "handed out is counted, worked on or not.",
        tests=(
            f"{_RECOVERY}::test_losses_of_the_connection_kill_no_innocent_message",
            "tests/core/test_burial.py::test_a_good_request_among_the_dead_letters_runs",
            f"{_VERSIONS}::test_delivery_limits",
            f"{_VERSIONS}::test_our_consumer_requeues_beyond_the_limit_of_version_4",
        ),
    ),
    Pitfall(
        number=33,
        what="Whether a nack, a reject or a lost connection counts as a delivery differs by version, and "
        "code that relies on one of them breaks.",
        tests=(
            f"{_STRUCTURE}::test_nothing_is_decided_by_the_brokers_own_counters",
            f"{_CONSUMER}::test_closing_gives_untouched_deliveries_back",
            "tests/core/test_burial.py::test_a_good_request_among_the_dead_letters_runs",
        ),
    ),
    Pitfall(
        number=34,
        what="Giving a message back as a way to try later is a hot loop of thousands of deliveries.",
        tests=(
            f"{_CONSUMING}::test_a_ledger_that_refuses_every_request_makes_no_hot_loop",
            f"{_CONSUMER}::test_failing_handler_is_told_and_does_not_spin",
            "tests/core/test_burial.py::test_a_message_that_breaks_our_own_code_becomes_a_row",
        ),
    ),
    Pitfall(
        number=35,
        what="The plugin for delayed messages keeps one copy on one node and loses it with the node or the "
        "plugin.",
        tests=(
            f"{_STRUCTURE}::test_no_message_waits_at_the_broker_for_its_time",
            "tests/rabbitmq/test_declaration.py::test_mismatch_names_what_differs",
        ),
        impossible="No exchange of ours is of a plugin's kind (`worker/rabbitmq/topology.py`), and one that is "
        "there under our name with another kind is told as a mismatch.",
    ),
    Pitfall(
        number=36,
        what="Work that is delayed in the worker's memory, unacknowledged, meets the broker's limit and "
        "comes back early or twice.",
        tests=(
            "tests/core/test_take.py::test_the_create_does_not_wait_for_the_acknowledgement",
            "tests/core/test_upkeep.py::test_what_is_due_runs_again",
            "tests/core/test_lanes.py::test_a_short_wait_keeps_the_queue_open",
            "tests/core/test_take.py::test_a_closing_lane_sends_waiting_deliveries_back",
        ),
    ),
    Pitfall(
        number=37,
        what="The dead-letter queue is missing, and a bad message returns for ever.",
        tests=(
            f"{_DEAD_LETTERS}::test_a_deleted_dead_letter_queue_comes_back_and_nothing_spins",
            f"{_DEAD_LETTERS}::test_what_is_rejected_without_a_dead_letter_queue_is_kept",
            f"{_RECOVERY}::test_missing_queue_is_told_and_others_go_on",
        ),
    ),
    Pitfall(
        number=38,
        what="Dead letters expire, overflow or are cleaned away before anybody looked at them.",
        tests=(
            f"{_DEAD_LETTERS}::test_no_dead_letter_that_nobody_closed_ever_disappears",
            "tests/ledger/test_pruning.py::test_pruning_never_touches_an_open_row",
            f"{_TOPOLOGY}::test_dead_letters_have_no_way_out_but_the_worker",
            f"{_DEAD_LETTERS}::test_what_a_publisher_lets_expire_is_kept_only_where_it_can_be_routed",
        ),
        remains="A publisher's own `expiration` goes with an unroutable message to the dead letters, where it runs "
        "out for good while no worker reads them; the contracts tell publishers to set none.",
    ),
    Pitfall(
        number=39,
        what="A shovel, or messages moved by hand, change exchange and routing key, and the next failure "
        "takes another way.",
        tests=(
            f"{_DEAD_LETTERS}::test_a_message_moved_by_hand_is_known_by_its_key",
            "tests/core/test_burial.py::test_a_known_request_among_the_dead_letters_is_answered_again",
        ),
    ),
)
