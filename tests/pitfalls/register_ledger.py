"""Pitfalls 40 to 53: the ledger and what is in doubt, the HTTP client, secrets."""

from tests.pitfalls.pitfall import Pitfall

_LEDGER = "tests/pitfalls/test_ledger.py"
_POWER = "tests/pitfalls/test_power_cut.py"
_HTTP = "tests/pitfalls/test_http.py"
_CLIENT = "tests/test_http_client.py"
_STRUCTURE = "tests/pitfalls/test_structure.py"
_RULES = "tests/providers/test_rules.py"
_MOMENTS = "tests/evidence/test_moments.py"
_CRASHES = "tests/evidence/test_crash_points.py"

LEDGER = (
    Pitfall(
        number=40,
        what="A lock on work under way expires, and a second run begins while nobody knows how the first one"
        " ended.",
        tests=(
            f"{_LEDGER}::test_a_provider_that_hangs_beyond_every_time_out_is_sent_one_create",
            f"{_LEDGER}::test_a_provider_that_never_answers_and_cannot_be_asked_is_sent_one_create",
            "tests/core/test_states.py::test_nothing_leads_from_in_doubt_to_sending",
            "tests/ledger/test_claims.py::test_a_living_workers_rows_are_left_alone",
        ),
        remains="A provider that carries a create out later than `settle` seconds after it was sent, when look-"
        "ups had found nothing, is sent a second one.",
    ),
    Pitfall(
        number=41,
        what="The record is deleted or marked failed because the call raised, although the account may "
        "exist.",
        tests=(
            f"{_MOMENTS}::test_moment",
            f"{_MOMENTS}::test_every_moment_is_hit",
            f"{_RULES}::test_row",
            "tests/core/test_run.py::test_a_surprise_during_the_create_is_in_doubt",
            "tests/core/test_run.py::test_each_answer_has_its_end",
        ),
    ),
    Pitfall(
        number=42,
        what="The account's id is kept in memory until the end of a function, and lost when the process dies"
        " in it.",
        tests=(
            "tests/core/test_crashes.py::test_the_next_worker_finishes_what_a_dead_one_left",
            "tests/ledger/test_durability.py::test_everything_that_was_confirmed_is_there_after_a_kill",
            "tests/scenarios/test_killed_worker.py::test_3000_requests_survive_faults_and_a_sigkill_every_two_seconds",
            f"{_CRASHES}::test_whatever_step_a_worker_dies_at_every_promise_is_kept",
            f"{_CRASHES}::test_no_step_is_missing_from_the_matrix",
        ),
    ),
    Pitfall(
        number=43,
        what="Workers are told apart by a name that a restart uses again, so a new process hides what the "
        "old one left.",
        tests=(
            f"{_LEDGER}::test_a_restart_on_the_same_host_finds_its_orphan_at_once",
            "tests/ledger/test_claims.py::test_a_restart_under_the_same_name_finds_its_own_orphans",
            "tests/ledger/test_opening.py::test_at_the_start_every_earlier_worker_on_the_file_is_dead",
        ),
    ),
    Pitfall(
        number=44,
        what="The program refuses to go on and gives people no means: rows are stuck for ever or edited by "
        "hand.",
        tests=(
            f"{_LEDGER}::test_ten_open_rows_are_settled_with_what_the_program_itself_says",
            "tests/operations/test_verbs.py::test_plan_and_deed_agree",
            "tests/core/test_states.py::test_every_open_state_has_a_way_to_an_end",
        ),
    ),
    Pitfall(
        number=45,
        what="A look-up that comes too early, or reads a copy that lags, says that the account is absent.",
        tests=(
            f"{_LEDGER}::test_an_account_that_shows_after_ninety_seconds_is_not_opened_again",
            "tests/core/test_look_ups.py::test_an_account_that_shows_up_late_prevents_the_second_create",
            "tests/core/test_look_ups.py::test_absence_is_believed_late_and_not_alone_and_then_sent_anew",
            "tests/providers/test_conformance_of_look_ups.py::test_account_that_shows_late_is_found_late",
        ),
    ),
    Pitfall(
        number=46,
        what="An SQLite ledger that syncs too rarely loses a confirmed intent when the power fails.",
        tests=(
            f"{_POWER}::test_no_power_cut_takes_back_what_was_confirmed",
            f"{_POWER}::test_the_simulation_notices_a_ledger_that_syncs_too_rarely",
            "tests/ledger/test_opening.py::test_the_connection_that_writes_is_durable",
            "tests/ledger/test_opening.py::test_a_server_that_may_forget_is_told_not_to",
        ),
    ),
    Pitfall(
        number=47,
        what="An operator runs again what is only pending, or a group that grew after they looked at it.",
        tests=(
            f"{_LEDGER}::test_two_replays_at_once_and_one_that_arrives_meanwhile",
            f"{_LEDGER}::test_a_replay_of_what_is_only_pending_sends_nothing_twice",
            "tests/operations/test_requests.py::test_a_snapshot_does_not_grow",
            "tests/operations/test_dead_letters.py::test_a_replay_twice_at_once_is_absorbed_by_the_ledger",
        ),
    ),
)

HTTP = (
    Pitfall(
        number=48,
        what="Redirects are followed by default: a 307 sends the create again elsewhere, and what a 302 "
        "leads to looks like success.",
        tests=(
            f"{_CLIENT}::test_redirect_is_not_followed",
            f"{_RULES}::test_row",
            f"{_STRUCTURE}::test_no_other_code_speaks_to_a_provider",
        ),
    ),
    Pitfall(
        number=49,
        what="On a connection that went stale the client library silently sends a PUT or DELETE twice.",
        tests=(
            f"{_STRUCTURE}::test_no_request_is_of_a_kind_that_is_silently_sent_twice",
            f"{_STRUCTURE}::test_no_other_code_speaks_to_a_provider",
            f"{_CLIENT}::test_every_create_has_a_connection_of_its_own",
            "tests/providers/test_conformance.py::test_create_is_sent_once",
            "tests/providers/test_what_is_sent.py::test_create_on_the_wire",
        ),
        impossible="A request is a GET or a POST by its type (`worker/http_client.py`), and no connection is used "
        "twice.",
    ),
    Pitfall(
        number=50,
        what="Catching the library's own error class misses time-outs and broken bodies, and one class "
        "stands for moments before and after the send.",
        tests=(
            f"{_HTTP}::test_every_kind_of_error_after_the_send_is_in_doubt",
            f"{_CLIENT}::test_moment_after_the_send",
            f"{_CLIENT}::test_full_backlog_sends_nothing",
            f"{_MOMENTS}::test_moment",
        ),
    ),
    Pitfall(
        number=51,
        what="The status is read off an exception, which claims 400 for a garbled answer and 200 for a web "
        "page.",
        tests=(
            f"{_HTTP}::test_every_kind_of_error_after_the_send_is_in_doubt",
            f"{_CLIENT}::test_moment_after_the_send",
            f"{_RULES}::test_row",
        ),
    ),
)

SECRETS = (
    Pitfall(
        number=52,
        what="A validation error prints the whole answer, and with it a password that is shown only once.",
        tests=(
            "tests/scenarios/test_secrets.py::test_no_secret_is_anywhere_in_clear",
            "tests/telemetry/test_logs.py::test_inputs_of_a_validation_error_are_never_shown",
            "tests/core/test_secrets.py::test_no_way_leaves_a_secret_in_clear",
            "tests/core/test_secrets.py::test_a_dead_letter_hides_what_its_sender_sent",
            "tests/contracts/test_secrets.py::test_no_error_about_parameters_shows_a_value",
        ),
    ),
    Pitfall(
        number=53,
        what="Structured tracebacks carry the local variables of every frame, by default.",
        tests=(
            "tests/pitfalls/test_secrets.py::test_an_error_while_sending_tells_its_place_and_none_of_its_locals",
            "tests/telemetry/test_logs.py::test_locals_are_never_shown",
            "tests/telemetry/test_tracebacks.py::test_error_is_told_without_the_value",
        ),
    ),
)

PITFALLS = (*LEDGER, *HTTP, *SECRETS)
