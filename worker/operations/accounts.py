"""An account that a person names for a request: whether it can be recorded, and what its requester is told of it."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue, SecretStr

from contracts.model import Misfit, secret_paths
from contracts.providers import discover
from contracts.result import Evidence
from worker.core.change import Event
from worker.core.entry import Entry
from worker.core.ledger import Ledger
from worker.core.orders import asked_for, generated_secrets, parameters_in_clear
from worker.core.recording import Recorder
from worker.core.sealing import CredentialBox, Sealer
from worker.core.verdict import Created
from worker.operations.verbs import Effect, Plan

_LONGEST_ID = 200
"""As the providers' answers are read."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account that a person found.

    Attributes:
        account_id: Its id.
        credentials: Those that the person knows of it, by name.
        without_credentials: Whether the person says that the requester does without those that nobody has.
    """

    account_id: str
    credentials: Mapping[str, SecretStr]
    without_credentials: bool = False


class Accounts:
    """Judges accounts that people name, and makes the results of them. It changes nothing.

    Args:
        ledger: Knows whose an account is.
        sealer: Opens what was asked for.
        box: Encrypts credentials to consumers.
        recorder: Makes results.
        parents: By provider the id of our own account under which accounts are opened, where it is configured.
    """

    def __init__(
        self,
        ledger: Ledger,
        sealer: Sealer,
        box: CredentialBox,
        recorder: Recorder,
        parents: Mapping[str, str],
    ) -> None:
        self._ledger = ledger
        self._sealer = sealer
        self._box = box
        self._recorder = recorder
        self._parents = parents

    def recognised_by(self, entry: Entry) -> Mapping[str, JsonValue]:
        """What a person compares with the provider's list in order to know the account; no secret is in it.

        Raises:
            SealBroken: the key that sealed the request is not in the keyring.
        """
        contract = discover().get(entry.provider)
        if contract is None or not entry.sealed_request:
            return {}
        # What holds a secret is taken away here, so that no contract can show one by mistake.
        secret = {path[0] for path in secret_paths(contract.Parameters)}
        asked = parameters_in_clear(self._sealer, entry)
        shown = {name: value for name, value in asked.items() if name not in secret}
        return contract.recognised_by(shown, entry.request_id)

    async def objection(self, planned: Plan, account: Account) -> str | None:
        """Why the account cannot be recorded, and what would fit; None where it can, or is already.

        Raises:
            SealBroken: the key that sealed the request is not in the keyring.
        """
        recorded = _against_what_is_recorded(planned, account)
        if recorded is not None or planned.effect is not Effect.WILL:
            return recorded
        entry = planned.entry
        return (
            self._is_no_id(entry, account)
            or self._nobody_to_encrypt_for(entry, account)
            or await self._is_anothers(entry, account)
            or self._lacks_credentials(entry, account)
        )

    def doubt(self, entry: Entry, account: Account) -> str | None:
        """What an account's id looks like as a rule, where the one that is named does not; it may be recorded.

        Raises:
            SealBroken: the key that sealed the request is not in the keyring.
        """
        misfit = self._misfit(entry, account)
        return misfit.looks_like if misfit is not None and not misfit.is_certain else None

    def missing(self, entry: Entry, credentials: Mapping[str, SecretStr]) -> tuple[str, ...]:
        """Names of the credentials that the provider hands over and that neither the requester chose nor anybody knows.

        What was generated here is known once a create was sent with it.

        Args:
            entry: The request.
            credentials: Those that a person knows.

        Raises:
            SealBroken: the key that sealed the request is not in the keyring.
        """
        issued = issued_by(entry.provider)
        if not issued or not entry.sealed_request:
            return ()
        asked = asked_for(self._sealer, entry)
        if _was_never_sent(entry):
            asked -= generated_secrets(self._sealer, entry).keys()
        known = credentials.keys() | asked
        return tuple(name for name in issued if name not in known)

    def missing_in(self, event: Event) -> tuple[str, ...]:
        """Names of the credentials of which a result says that nobody has them; no more of it leaves this place.

        Raises:
            SealBroken: the key that sealed the result is not in the keyring.
        """
        data = json.loads(self._recorder.events.body_of(event))["data"]
        return tuple(data.get("credentials_missing", ()))

    def event(self, entry: Entry, account: Account, at: datetime) -> Event:
        """The result that is published of it.

        Raises:
            ConfigurationError: its credentials cannot be encrypted to the requester.
            SealBroken: the key that sealed the request is not in the keyring.
        """
        return self._recorder.provisioned(entry, at, self._created(entry, account), Evidence.OPERATOR)

    def _created(self, entry: Entry, account: Account) -> Created:
        """What the requester can be given: what was asked and generated here, and what the person knows."""
        secrets = self._secrets(entry, account)
        contract = discover().get(entry.provider)
        if contract is None:
            return Created(account.account_id, {}, secrets)
        parameters = parameters_in_clear(self._sealer, entry)
        facts = contract.known_account(account.account_id, parameters).model_dump(mode="json")
        return Created(account.account_id, facts, secrets, self.missing(entry, account.credentials))

    def _secrets(self, entry: Entry, account: Account) -> Mapping[str, SecretStr]:
        generated = {} if _was_never_sent(entry) else generated_secrets(self._sealer, entry)
        return {**generated, **account.credentials}

    def _is_no_id(self, entry: Entry, account: Account) -> str | None:
        """A slip of the hand would be told as the account, for good."""
        if len(account.account_id) > _LONGEST_ID or not account.account_id.isprintable():
            return f"an account id is at most {_LONGEST_ID} characters on one line"
        misfit = self._misfit(entry, account)
        if misfit is None or not misfit.is_certain:
            return None
        return f"{account.account_id} is not the id of its account: at {entry.provider} that is {misfit.looks_like}"

    def _misfit(self, entry: Entry, account: Account) -> Misfit | None:
        """What the provider itself gave as the id needs no look."""
        contract = discover().get(entry.provider)
        if contract is None or account.account_id == entry.account_id:
            return None
        if account.account_id.casefold() == self._parents.get(entry.provider, "").casefold():
            return Misfit("its own, not that of the configured account under which it was opened")
        return contract.misfit(account.account_id, parameters_in_clear(self._sealer, entry))

    def _nobody_to_encrypt_for(self, entry: Entry, account: Account) -> str | None:
        if not self._secrets(entry, account) or self._box.can_encrypt_for(entry.source):
            return None
        return f"no consumer key is configured for {entry.source}; set PROVISIONER_CREDENTIALS__KEYS_FILE"

    async def _is_anothers(self, entry: Entry, account: Account) -> str | None:
        """The ledger refuses it as well; asked here, a dry run hears of it too."""
        owner = await self._ledger.owner_of(entry.provider, account.account_id)
        if owner in {None, entry.request_id}:
            return None
        return f"account {account.account_id} of {entry.provider} is that of request {owner} already"

    def _lacks_credentials(self, entry: Entry, account: Account) -> str | None:
        missing = self.missing(entry, account.credentials)
        if not missing or account.without_credentials:
            return None
        return (
            f"{', '.join(missing)}: {entry.provider} hands these over, nobody here has them, and they cannot be added "
            "later; give them with --credentials-file, or say --without-credentials"
        )


def issued_by(provider: str) -> tuple[str, ...]:
    """Names of the credentials that a provider hands over."""
    contract = discover().get(provider)
    return tuple(contract.Credentials.model_fields) if contract else ()


def _was_never_sent(entry: Entry) -> bool:
    """Whether the account that a person names was opened by somebody else, as far as this ledger knows: before it was
    restored, or by hand. What was generated for the request may be in no account, and told, it would be believed.
    """
    return entry.attempt_sent_at is None


def _against_what_is_recorded(planned: Plan, account: Account) -> str | None:
    """To record an account twice is nothing; what would be overwritten or dropped must not look like success."""
    entry, recorded = planned.entry, planned.entry.account_id
    if recorded is None or planned.effect is Effect.BLOCKED:
        return None
    is_final = planned.effect is Effect.NOTHING
    if recorded != account.account_id:
        command = f"`requests resolve {entry.request_id} --account-id {shlex.quote(recorded)}`"
        fits = "its result is final; `republish` sends it again" if is_final else f"it exists: {command}"
        return f"another account is recorded: {recorded}, and {fits}"
    if is_final and account.credentials:
        return (
            f"account {recorded} is recorded already, and its result takes no more credentials; `republish` sends "
            "what was handed over then, and if that is not the same, keep the file and hand it over another way"
        )
    return None
