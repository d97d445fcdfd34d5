"""What a file of this package says of its provider."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.providers.cases import Case
from worker.sandbox import Operation


@dataclass(frozen=True)
class Sent:
    """What is asked, and the body that the vendor's document has for it."""

    asked: Mapping[str, Any]
    body: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Known:
    """One provider, as its vendor's document has it; parameters are given as changes of the contract's example.

    Attributes:
        base_url: The documented root of its API.
        path: Where a create is sent.
        headers: Headers of a create beside those that every create has.
        before: What the calls before a create are answered where `headers` are compared, in their order.
        good: The least that its good answer holds.
        own_shape: An error in its own shape.
        sent: Bodies of its document, the plain sample first.
        elsewhere: Settings under which other accounts are seen; empty where the address is all.
        no_secrets: Names of texts that let us in and that everybody may see, such as an account's number.
        another: Parameters of an account of another name.
        namesake: Parameters of somebody else's account of the same name; empty where nothing tells the two apart.
        secrets_asked: Parameters that are secret.
        secrets_issued: Credentials that are handed over.
        account_ids: Ids that the account of the contract's example may have.
        unusual_ids: Ids that it may have and that whoever names them is warned of.
        no_account_ids: What is not its id, such as the id or the name of something else.
        second_spellings: What means one of its ids and is not spelled as the provider spells it, and how that is.
        parameters: Any valid parameters.
        cases: What shows each of its own rules.
    """

    base_url: str
    path: str
    headers: Mapping[str, str]
    before: Mapping[Operation, Mapping[str, Any]] = field(default_factory=dict)
    good: Mapping[str, Any]
    own_shape: Mapping[str, Any]
    sent: Sequence[Sent]
    elsewhere: Mapping[str, Any]
    no_secrets: frozenset[str] = frozenset()
    another: Mapping[str, Any]
    namesake: Mapping[str, Any]
    secrets_asked: frozenset[str] = frozenset()
    secrets_issued: frozenset[str] = frozenset()
    account_ids: Sequence[str]
    unusual_ids: Sequence[str] = ()
    no_account_ids: Sequence[str]
    second_spellings: Mapping[str, str] = field(default_factory=dict)
    parameters: st.SearchStrategy[dict[str, Any]]
    cases: Sequence[Case]

    @property
    def answers_before(self) -> Mapping[str, Any]:
        """One object that answers each of the calls before a create."""
        return {name: value for answer in self.before.values() for name, value in answer.items()}
