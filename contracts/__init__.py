"""The wire: what may be asked of the provisioning worker, and what it answers.

Everything another team needs to publish a request or to read a result stands here and imports
nothing but pydantic: the request (`contracts.request`), the four result events (`contracts.result`),
the reason codes (`contracts.reason`) and one file for each provider (`contracts.providers`).
`contracts/README.md` holds the promises about change, and the exported JSON Schemas and golden
messages lie in `contracts/schemas/` and `contracts/examples/`.
"""

WIRE_VERSION = "1.0.0"
"""Semantic version of the whole wire; the major number is also the `.v1` at the end of each event type."""
