"""The words of the reason catalogue: what each code means, whether it is retried, and what to do about it.

Written for the person who finds the code in an event, a log or the list of held requests. Read them through
`contracts.reason.CATALOGUE`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

Retried: TypeAlias = Literal["no", "yes", "after_a_person"]
"""Whether the create is sent (again) for this reason: never, by itself, or once a person has acted."""

TEXTS: Final[Mapping[str, tuple[str, Retried, str]]] = MappingProxyType(
    {
        # The contract: the request could not be taken as it came.
        "not_utf8": (
            "The body is not UTF-8 text.",
            "no",
            "Publisher: encode the body as UTF-8, send it uncompressed, and publish again.",
        ),
        "not_json": (
            "The body is not one JSON value, or not a JSON object.",
            "no",
            (
                "Publisher: check the body with a JSON parser (a trailing comma is the usual cause) and "
                "publish again."
            ),
        ),
        "too_large": (
            "The body is larger than a request may be.",
            "no",
            "Publisher: send only the fields of the contract; a valid request needs a few kilobytes.",
        ),
        "too_deep": (
            "The JSON is nested deeper than any request needs.",
            "no",
            (
                "Publisher: send the fields of the contract as they are, not wrapped in further objects "
                "or lists."
            ),
        ),
        "duplicate_json_key": (
            "A JSON object names the same key twice, so parsers would disagree about its value.",
            "no",
            "Publisher: write each key once; a body put together from pieces of text is the usual cause.",
        ),
        "not_finite_number": (
            "A number is NaN, infinite or too large for JSON.",
            "no",
            "Publisher: switch off the serialiser's non-standard numbers and publish again.",
        ),
        "invalid_envelope": (
            (
                "A CloudEvents attribute is missing or wrong, or the message is in none of the forms that "
                "are read."
            ),
            "no",
            "Publisher: mend what `problems` lists; contracts/README.md shows each form with an example.",
        ),
        "invalid_data": (
            "A common field of `data` (key, provider, dry_run, deadline) is missing, wrong or unknown.",
            "no",
            "Publisher: mend what `problems` lists and publish again; the same idempotency key may be used.",
        ),
        "unknown_provider": (
            "No provider of that name exists in this version of the worker.",
            "no",
            (
                "Publisher: check the spelling of `data.provider`. Operator: check that the worker is "
                "recent enough."
            ),
        ),
        "provider_not_configured": (
            "The provider is known, but this deployment has no settings for it.",
            "no",
            (
                "Operator: configure the provider, restart, and replay the request; or tell the publisher "
                "it is not served. Publisher: do not ask under another key unless the operators say that they will "
                "not run this one."
            ),
        ),
        "invalid_parameters": (
            "The provider's parameters break the contract. The provider was not asked.",
            "no",
            "Publisher: mend what `problems` lists and publish again; the same idempotency key may be used.",
        ),
        "idempotency_conflict": (
            "This source has used the idempotency key before, for a request with other content.",
            "no",
            (
                "Publisher: for another account use another key; to repeat a request send exactly the "
                "first content."
            ),
        ),
        # Policy: the worker decided not to ask the provider.
        "no_consumer_key": (
            (
                "The provider hands out credentials and no usable key of the consumer is configured, so "
                "it was not asked."
            ),
            "no",
            (
                "Operator: configure the consumer's public key, check its expiry, and replay the request. "
                "Publisher: do not ask under another key; the operators run this one when the key is there."
            ),
        ),
        "deadline_passed": (
            "The request's deadline passed with nothing created.",
            "no",
            (
                "Publisher: if the account is still wanted, publish a new request with a later deadline "
                "and a new key."
            ),
        ),
        "dry_run_passed": (
            "The dry run found nothing wrong. Nothing was created.",
            "no",
            "Publisher: publish the same content without `dry_run` and with a new idempotency key.",
        ),
        # The provider said no, or was never reached: nothing was created.
        "provider_validation": (
            "The provider refused a value. Nothing was created.",
            "no",
            (
                "Publisher: read `provider_error`, correct the parameters and publish under a new "
                "idempotency key."
            ),
        ),
        "name_taken": (
            (
                "The name is taken or not allowed: the provider says so, and no earlier attempt may have taken "
                "it, or look-ups found that it is somebody else's, or that no account of this request is "
                "there. Nothing was created."
            ),
            "no",
            "Publisher: choose another name (put the order number in it) and publish under a new key.",
        ),
        "verification_required": (
            "The provider demands a step for people: a code by e-mail, accepted terms or a payment card.",
            "after_a_person",
            (
                "Operator: take the step at the provider or add the extra field it asks for, then replay "
                "the request. Publisher: do not ask under another key unless the operators say that they will not "
                "run this one."
            ),
        ),
        "credentials_refused": (
            (
                "The provider refused our credentials (401), or our IP address. Its queue is paused; "
                "requests wait."
            ),
            "after_a_person",
            (
                "Operator: check key, secret and the IP addresses allowed at the provider, then resume "
                "the provider."
            ),
        ),
        "permission_refused": (
            (
                "Our credentials are valid but may not do this (403): missing scope, no reseller, account "
                "blocked."
            ),
            "after_a_person",
            "Operator: have the provider grant the permission or lift the block, then resume the provider.",
        ),
        "endpoint_missing": (
            (
                "The provider does not know the address we call (404): wrong host, region, path or parent "
                "account."
            ),
            "after_a_person",
            "Operator: correct the base address, region or parent account id in the settings, then replay.",
        ),
        "redirected": (
            (
                "The provider answered with a redirect, which is never followed. After 302 or 303 the account may "
                "exist."
            ),
            "after_a_person",
            (
                "Operator: set the provider's base address to the final host, with https, then resume the provider; "
                "if the request is held, search at the provider and resolve it by hand."
            ),
        ),
        "rate_limited": (
            "The provider's limit is reached (429). The request waits as long as the provider asks.",
            "yes",
            (
                "Nothing; if it lasts, lower the rate in the provider's settings or ask the provider for "
                "a higher limit."
            ),
        ),
        "unreachable": (
            "No connection to the provider came about (name, address, TLS), so the create was not sent.",
            "yes",
            (
                "Nothing at first; if it lasts, check DNS, the firewall, the proxy and the provider's "
                "status page."
            ),
        ),
        "token_refused": (
            "The provider refused to issue an access token for our key. The create was not sent.",
            "after_a_person",
            "Operator: check the key from which the token is made, then resume the provider.",
        ),
        "token_unavailable": (
            "The provider's token service failed or did not answer. The create was not sent.",
            "yes",
            "Nothing at first; if it lasts, look at the provider's status page.",
        ),
        "provider_busy": (
            "The provider declined the create as busy in a way that proves that it was not carried out.",
            "yes",
            "Nothing; if it lasts, look at the provider's status page.",
        ),
        # In doubt: the account may exist.
        "no_answer": (
            "The create was sent and no answer came in time. The account may exist.",
            "no",
            (
                "Nothing while the worker looks it up; if it is held, search at the provider and resolve "
                "it by hand."
            ),
        ),
        "connection_lost": (
            "The connection broke after the create had begun to be sent. The account may exist.",
            "no",
            (
                "Nothing while the worker looks it up; if it is held, search at the provider and resolve "
                "it by hand."
            ),
        ),
        "garbled_answer": (
            "What came back was not valid HTTP. The account may exist.",
            "no",
            "As for no_answer; also look for a proxy or balancer in between that spoils answers.",
        ),
        "unreadable_answer": (
            (
                "The provider reported success, but the answer lacks the account id or is not JSON. It "
                "most likely exists."
            ),
            "no",
            (
                "As for no_answer; if it recurs the provider has changed its answer: report it to the "
                "developers."
            ),
        ),
        "answer_too_large": (
            "The provider's answer was larger than the limit and was not read. The account may exist.",
            "no",
            "As for no_answer; if it recurs, find out what answers in the provider's place.",
        ),
        "server_error": (
            "The provider failed while handling the create (5xx). The account may exist.",
            "no",
            (
                "Nothing while the worker looks it up; if it is held, search at the provider and resolve "
                "it by hand."
            ),
        ),
        "unexpected_status": (
            (
                "The provider answered with a status that its documents do not name for this call. The "
                "account may exist."
            ),
            "no",
            "As for no_answer; tell the developers the status, so that a rule can be written for it.",
        ),
        "conflict_at_provider": (
            (
                "The provider says that such an account exists (409, or the name is taken after a doubt): "
                "perhaps ours."
            ),
            "no",
            (
                "Nothing while the worker looks it up (somebody else's account ends it as name_taken); if it "
                "is held, check at the provider whose account it is."
            ),
        ),
        "worker_died": (
            "The worker stopped between sending the create and recording the answer. The account may exist.",
            "no",
            "Nothing while the worker looks it up; find out why it stopped (memory, eviction, kill).",
        ),
        # Resolving: how the doubt, or the request, ended.
        "found_by_look_up": (
            "A look-up at the provider found exactly one account that this request must have opened.",
            "no",
            "Nothing; check `credentials_missing` in the result.",
        ),
        "confirmed_absent": (
            (
                "Look-ups, repeated over the safe time, showed that the account does not exist. A new "
                "create may be sent."
            ),
            "yes",
            "Nothing; the evidence is in the request's history.",
        ),
        "look_up_ambiguous": (
            (
                "Several accounts could be this one, or one that cannot be told apart for certain; or what the "
                "provider said of the create and what it shows contradict each other; or its list, which is looked "
                "at before another create, says that there is more than it shows."
            ),
            "after_a_person",
            (
                "Operator: compare the candidates in the request's history, and search the provider's portal where "
                "there are none, then resolve it with the right account id or declare it not created."
            ),
        ),
        "look_up_unsupported": (
            (
                "The account may exist and nobody can ask by machine: the provider has no way to, or the settings "
                "name another address, account or key now than the create was sent to."
            ),
            "after_a_person",
            (
                "Operator: search the provider's portal for the reference sent, where it was sent, then resolve it "
                "or declare it not created."
            ),
        ),
        "look_up_exhausted": (
            "Every look-up failed or stayed without proof until the time for it was used up.",
            "after_a_person",
            "Operator: search at the provider, then resolve the request or declare it not created.",
        ),
        "account_claimed_elsewhere": (
            "The account found belongs to another request already, so it cannot be the result of this one.",
            "after_a_person",
            "Operator: compare both requests' histories; usually two orders share one user name.",
        ),
        "credentials_lost": (
            "The account exists, but a secret that the provider shows only once never reached the worker.",
            "after_a_person",
            (
                "Operator: have a new secret made at the provider and give it with the resolution (`requests resolve "
                "... --account-id ... --credentials-file`): it is encrypted to the consumer and cannot be added later."
            ),
        ),
        "attempts_exhausted": (
            "Nothing was created, and the attempts or the time allowed for them are used up.",
            "after_a_person",
            "Operator: remove the cause shown in the request's history, then replay it or abandon it.",
        ),
        "created": (
            "The provider answered that the account was created.",
            "no",
            "Nothing.",
        ),
        "created_late": (
            "The provider's answer arrived after the request had been put in doubt: the account was created.",
            "no",
            "Nothing; if it recurs, raise the provider's time-out.",
        ),
        # An operator's word.
        "resolved_by_operator": (
            "A named person stated that the account exists and gave its id.",
            "no",
            "Nothing; who and why is in the request's history.",
        ),
        "declared_not_created": (
            "A named person stated that the account does not exist. A new create may be sent.",
            "yes",
            "Nothing; who and why is in the request's history.",
        ),
        "abandoned_by_operator": (
            "A named person closed the request. `account_may_exist` says whether an account may be left.",
            "no",
            (
                "Publisher: ask the operators, who left a note. For another try use a new idempotency key, and only "
                "where `account_may_exist` is false."
            ),
        ),
        "replayed_by_operator": (
            "A named person set the closed request going again. Another result follows.",
            "yes",
            "Nothing; who and why is in the request's history.",
        ),
        # The worker itself.
        "internal_error": (
            (
                "The worker met a case it was not made for. Whether a request's account exists was judged as for "
                "a lost answer; of a message that became no request nothing was sent."
            ),
            "after_a_person",
            (
                "Operator: send the history to the developers; resolve or abandon a request by hand, replay a dead "
                "letter after the cure."
            ),
        ),
    }
)
"""Meaning, retried and what to do, by code."""
