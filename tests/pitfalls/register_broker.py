"""Pitfalls 1 to 24: publishing, and consuming and acknowledging."""

from tests.pitfalls.pitfall import Pitfall

_PUBLISHER = "tests/rabbitmq/test_publisher.py"
_CONSUMER = "tests/rabbitmq/test_consumer.py"
_RECOVERY = "tests/rabbitmq/test_recovery.py"
_FAULTS = "tests/rabbitmq/test_broker_faults.py"
_PUBLISHING = "tests/pitfalls/test_publishing.py"
_CONSUMING = "tests/pitfalls/test_consuming.py"
_STRUCTURE = "tests/pitfalls/test_structure.py"
_VERSIONS = "tests/rabbitmq4/test_versions.py"

PUBLISHING = (
    Pitfall(
        number=1,
        what="A mandatory publish that no queue takes comes back as a value and not as an error, and the "
        "code goes on: the result is gone.",
        tests=(
            f"{_PUBLISHING}::test_a_result_that_nobody_takes_is_told_and_delivered_once_somebody_does",
            f"{_PUBLISHER}::test_unroutable_publish_raises",
        ),
    ),
    Pitfall(
        number=2,
        what="Returned messages are matched to publishes by message id: of two with one id in flight the "
        "lost one counts as confirmed and the good one as failed.",
        tests=(
            f"{_PUBLISHER}::test_pairs_in_flight_blame_the_right_one",
            f"{_PUBLISHER}::test_properties_mirror_the_event",
        ),
    ),
    Pitfall(
        number=3,
        what="A publish that timed out is taken for one that was not sent, although the broker has it: the "
        "repetition looks like a second result.",
        tests=(
            f"{_FAULTS}::test_publish_to_a_frozen_broker_fails_by_its_deadline_and_may_arrive_later",
            "tests/core/test_publish.py::test_an_unconfirmed_event_is_published_again_under_the_same_id",
            "tests/core/test_events.py::test_event_ids_stay_the_same_over_releases",
        ),
    ),
    Pitfall(
        number=4,
        what="The library's time limit of a publish does not cover writing to the socket, so a blocked "
        "broker holds the publisher far beyond it.",
        tests=(
            f"{_FAULTS}::test_alarm_blocks_publishes_and_no_acknowledgement",
            "tests/rabbitmq/test_calls.py::test_deadline",
        ),
    ),
    Pitfall(
        number=5,
        what="Acknowledgements wait behind a blocked publish on the same connection, and what they "
        "acknowledged is delivered again.",
        tests=(f"{_FAULTS}::test_alarm_blocks_publishes_and_no_acknowledgement",),
    ),
    Pitfall(
        number=6,
        what="A publish while the connection is rebuilt fails at once, and nobody repeats it.",
        tests=(
            f"{_PUBLISHER}::test_publishing_through_losses_of_the_connection",
            f"{_PUBLISHER}::test_publish_without_a_connection_fails_at_once",
            "tests/core/test_publish.py::test_the_result_is_recorded_before_it_is_published",
        ),
    ),
    Pitfall(
        number=7,
        what="A publish to an exchange that is not there closes the channel, with every other publish that "
        "waits on it.",
        tests=(
            f"{_PUBLISHER}::test_missing_exchange_costs_only_what_was_pending",
            "tests/core/test_publish.py::test_an_unconfirmed_event_is_published_again_under_the_same_id",
        ),
    ),
    Pitfall(
        number=8,
        what="The copy that is published for a retry gets lost after the original was acknowledged.",
        tests=(
            f"{_STRUCTURE}::test_only_results_and_requests_of_people_are_published",
            "tests/core/test_take.py::test_the_acknowledgement_comes_after_the_row",
            "tests/core/test_crashes.py::test_the_next_worker_finishes_what_a_dead_one_left",
        ),
        impossible="No retry is published: it is a row with a due time that upkeep claims "
        "(`worker/core/upkeep.py`).",
    ),
    Pitfall(
        number=9,
        what="A message above the broker's limit closes the channel, and that limit fell from 128 to 16 MiB.",
        tests=(
            f"{_PUBLISHING}::test_a_huge_answer_becomes_a_small_event",
            f"{_PUBLISHING}::test_a_huge_field_of_a_list_is_not_told",
            "tests/test_http_client.py::test_decompression_bomb_is_cut_off",
            f"{_VERSIONS}::test_result_of_more_than_16_mib",
        ),
    ),
    Pitfall(
        number=10,
        what="A full queue that refuses answers a publish with a nack, and whoever does not expect that "
        "drops the message.",
        tests=(
            f"{_PUBLISHING}::test_results_refused_by_a_full_queue_wait_in_the_ledger",
            f"{_PUBLISHER}::test_full_queue_refuses",
        ),
    ),
)

CONSUMING = (
    Pitfall(
        number=11,
        what="With its channel or connection the library cancels the running callback, in the middle of the "
        "provider's create.",
        tests=(
            f"{_RECOVERY}::test_running_handler_survives_the_loss_of_its_connection",
            "tests/core/test_late_answers.py::test_ending_the_waiting_side_does_not_end_the_create",
            "tests/scenarios/test_disturbances.py::test_a_broker_restart_needs_no_worker_restart",
        ),
    ),
    Pitfall(
        number=12,
        what="The message is delivered again while its first run still waits for the provider, and a second "
        "create goes out.",
        tests=(
            "tests/core/test_take.py::test_the_same_request_while_it_runs_is_acknowledged_and_not_answered",
            "tests/scenarios/test_disturbances.py::test_a_broker_restart_needs_no_worker_restart",
            f"{_RECOVERY}::test_running_handler_survives_the_loss_of_its_connection",
        ),
    ),
    Pitfall(
        number=13,
        what="The broker waits for an acknowledgement only so long; then it closes the channel and hands "
        "everything on it out again.",
        tests=(
            "tests/core/test_take.py::test_the_create_does_not_wait_for_the_acknowledgement",
            f"{_RECOVERY}::test_channel_closed_by_the_broker",
            "tests/core/test_take.py::test_a_delivery_that_went_back_while_it_waited_is_left_to_its_next_one",
        ),
    ),
    Pitfall(
        number=14,
        what="Acknowledging on a channel that died raises, or waits for ever, and is taken for a failure of "
        "the work.",
        tests=(
            f"{_RECOVERY}::test_running_handler_survives_the_loss_of_its_connection",
            f"{_CONSUMER}::test_verb_after_close_does_nothing",
            f"{_FAULTS}::test_settling_while_the_broker_is_frozen_never_raises",
            "tests/core/test_take.py::test_the_same_request_again_is_answered_with_the_same_event",
        ),
    ),
    Pitfall(
        number=15,
        what="The library's own way to settle a message rejects it on any error, a cancellation included: "
        "without a dead-letter exchange it is gone.",
        tests=(
            f"{_STRUCTURE}::test_no_delivery_is_handed_to_the_librarys_own_settling",
            f"{_CONSUMING}::test_a_delivery_cancelled_at_any_wait_is_neither_dropped_nor_rejected",
            "tests/core/test_take.py::test_a_surprise_sets_the_delivery_aside",
        ),
    ),
    Pitfall(
        number=16,
        what="The broker cancels a consumer whose queue was deleted, and the library never consumes again "
        "while everything looks open.",
        tests=(
            f"{_RECOVERY}::test_deleted_queue_is_declared_and_consumed_again",
            f"{_RECOVERY}::test_recreated_queue_is_consumed_again",
            f"{_RECOVERY}::test_watchdog_notices_connected_but_not_consuming",
            f"{_VERSIONS}::test_consumer_of_a_queue_that_is_declared_again_at_once",
        ),
    ),
    Pitfall(
        number=17,
        what="A network that stands still is noticed only after minutes of missing heartbeats, and sometimes"
        " nobody connects again.",
        tests=(f"{_FAULTS}::test_frozen_broker_is_noticed_and_survived",),
    ),
    Pitfall(
        number=18,
        what="What the program does not hold a reference to, or cancels during a reconnect, is not restored.",
        tests=(
            f"{_RECOVERY}::test_connection_closed_again_and_again",
            f"{_FAULTS}::test_broker_restart_is_survived",
            "tests/rabbitmq/test_connection.py::test_end_comes_at_any_moment",
        ),
    ),
    Pitfall(
        number=19,
        what="A channel for each publish leaks, and closed channels come back with every reconnect.",
        tests=(
            f"{_RECOVERY}::test_long_life_leaves_nothing_behind",
            f"{_RECOVERY}::test_connection_closed_again_and_again",
        ),
    ),
    Pitfall(
        number=20,
        what="A robust connection tries for ever and swallows every error: the process is up, useless and "
        "silent.",
        tests=(
            "tests/rabbitmq/test_connection.py::test_broker_that_is_not_there_is_told_once",
            f"{_RECOVERY}::test_every_change_of_state_is_told_once",
            "tests/telemetry/test_probes.py::test_liveness_knows_nothing_of_readiness",
            "tests/deploy/test_alerts.py::test_every_alert_behaves_as_its_cases_say",
        ),
    ),
    Pitfall(
        number=21,
        what="Declaring a queue with one argument changed closes the channel, again at every reconnect.",
        tests=(
            f"{_RECOVERY}::test_mismatch_at_start_ends_the_process_at_the_first_try",
            f"{_RECOVERY}::test_mismatch_while_running_is_waited_out",
            "tests/rabbitmq/test_declaration.py::test_mismatch_names_what_differs",
        ),
    ),
    Pitfall(
        number=22,
        what="Without a prefetch one process is handed every message there is; a global prefetch ends the "
        "connection of a quorum queue.",
        tests=(
            f"{_CONSUMING}::test_ten_thousand_waiting_messages_stay_at_the_broker",
            f"{_CONSUMER}::test_prefetch_is_per_consumer_as_the_broker_sees_it",
            "tests/core/test_intake.py::test_every_queue_is_read_with_a_prefetch_of_its_concurrency",
        ),
    ),
    Pitfall(
        number=23,
        what="A single active or exclusive consumer is taken for a lock, though for a while two workers hold"
        " it.",
        tests=(
            f"{_STRUCTURE}::test_no_consumer_is_taken_for_a_lock",
            "tests/core/test_crashes.py::test_a_silent_worker_that_wakes_up_again_changes_nothing",
            "tests/ledger/test_claims.py::test_a_worker_that_was_only_frozen_finds_its_claims_ended",
        ),
    ),
    Pitfall(
        number=24,
        what="After an election a quorum queue may keep messages as unacknowledged that no channel owns.",
        tests=(f"{_CONSUMING}::test_a_row_whose_message_never_comes_again_runs_all_the_same",),
        remains="A message that never came here even once is known to the broker alone; it is counted as "
        "unacknowledged there, and the sender who asks again under the same key is served.",
    ),
)

PITFALLS = (*PUBLISHING, *CONSUMING)
