"""The catalogue of reason codes."""

import re
from pathlib import Path
from typing import get_args

import pytest

import contracts
from contracts.reason import CATALOGUE, ReasonCode
from contracts.reason_texts import TEXTS, Retried

WIRE = """
not_utf8 not_json too_large too_deep duplicate_json_key not_finite_number invalid_envelope invalid_data
unknown_provider provider_not_configured invalid_parameters idempotency_conflict
no_consumer_key deadline_passed dry_run_passed provider_validation name_taken
verification_required credentials_refused permission_refused endpoint_missing redirected rate_limited
unreachable token_refused token_unavailable provider_busy no_answer connection_lost garbled_answer
unreadable_answer answer_too_large server_error unexpected_status conflict_at_provider worker_died
found_by_look_up confirmed_absent look_up_ambiguous look_up_unsupported look_up_exhausted
account_claimed_elsewhere credentials_lost attempts_exhausted created created_late resolved_by_operator
declared_not_created abandoned_by_operator replayed_by_operator internal_error
"""


def test_the_published_codes_are_all_there_and_in_order() -> None:
    """A code, once published, is never renamed or taken away."""
    assert [code.value for code in ReasonCode] == WIRE.split()


def test_every_code_is_told_by_some_code_of_the_worker() -> None:
    """A code that nothing emits would have readers wait for it."""
    worker = Path(contracts.__file__).parents[1] / "worker"
    code = "".join(path.read_text(encoding="utf-8") for path in worker.rglob("*.py"))
    assert [reason.name for reason in ReasonCode if f"ReasonCode.{reason.name}" not in code] == []


def test_every_code_has_words_and_no_words_lack_a_code() -> None:
    """Codes and texts stand one to one, in the same order."""
    assert list(TEXTS) == [code.value for code in ReasonCode]
    assert list(CATALOGUE) == list(ReasonCode)


@pytest.mark.parametrize("code", ReasonCode)
def test_each_entry_says_what_happened_and_what_to_do(code: ReasonCode) -> None:
    """Meaning and advice are whole sentences, and a person who must act is told to."""
    reason = CATALOGUE[code]
    assert reason.code is code
    assert reason.retried in get_args(Retried)
    assert reason.meaning.endswith(".")
    assert reason.what_to_do.endswith(".")
    if reason.retried == "after_a_person":
        assert reason.what_to_do.startswith("Operator: ")


@pytest.mark.parametrize("code", ReasonCode)
def test_advice_that_refers_to_another_code_refers_to_one_that_exists(code: ReasonCode) -> None:
    """A reader who is sent to another entry finds it."""
    for other in re.findall(r"As for (\w+)", CATALOGUE[code].what_to_do):
        assert other in set(ReasonCode)


def test_nothing_in_doubt_is_sent_again_by_itself() -> None:
    """Where the account may exist, only proof of absence or a person's word leads to another create."""
    doubtful = [reason for reason in CATALOGUE.values() if "may exist" in reason.meaning]
    assert len(doubtful) >= 8
    assert all(reason.retried != "yes" for reason in doubtful)


@pytest.mark.parametrize(
    "code", [ReasonCode.NO_CONSUMER_KEY, ReasonCode.PROVIDER_NOT_CONFIGURED, ReasonCode.VERIFICATION_REQUIRED]
)
def test_who_waits_for_the_operators_is_not_sent_to_another_idempotency_key(code: ReasonCode) -> None:
    """They run such a request when its cause is cured; ordered anew meanwhile it would be two accounts."""
    assert "Publisher: do not ask under another key" in CATALOGUE[code].what_to_do


def test_a_secret_that_was_lost_is_replaced_with_the_resolution() -> None:
    """Given to the consumer beside it, it would go in clear, and the result would say for good that it is missing."""
    advice = CATALOGUE[ReasonCode.CREDENTIALS_LOST].what_to_do
    assert "--credentials-file" in advice
    assert advice.endswith("cannot be added later.")


def test_a_dead_letter_is_not_said_to_have_opened_an_account_perhaps() -> None:
    """The worker may fail at a message that never became a request: there is nothing to resolve."""
    reason = CATALOGUE[ReasonCode.INTERNAL_ERROR]
    assert reason.meaning.endswith("of a message that became no request nothing was sent.")
    assert reason.what_to_do.endswith("replay a dead letter after the cure.")
