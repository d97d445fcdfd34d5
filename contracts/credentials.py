"""What a consumer finds inside `data.credentials` of `account.provisioned.v1` after decrypting it."""

from typing import Final, Generic, TypeVar

from pydantic import BaseModel, Field

from contracts.model import OpenModel

TEST_VECTOR_KID: Final = "test-vector-"
"""How the `kid` of each key begins whose private half is published as a test vector; none of them protects anything."""

CredentialsT = TypeVar("CredentialsT", bound=BaseModel)


class SealedContent(OpenModel, Generic[CredentialsT]):
    """The plain text of the JWE: the secrets, bound to the event, the request and the account they belong to.

    A consumer compares the ids with those of the event, so that nobody can move a JWE to another event.
    """

    event_id: str = Field(description="The `id` of the event that carries it.")
    request_id: str = Field(description="The `data.request_id` of that event.")
    provider: str = Field(description="The `data.provider` of that event.")
    account_id: str = Field(description="The `data.account_id` of that event.")
    credentials: CredentialsT = Field(
        description="The secrets by name. One that is absent or null was not issued, or is lost."
    )
