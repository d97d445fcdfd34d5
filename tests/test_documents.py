"""The documents say what the code does."""

import re
from pathlib import Path

import pytest

from tests.documents import GENERATED, ROOT, with_parts


@pytest.mark.parametrize("document", sorted({name for name, _ in GENERATED}))
def test_generated_parts_are_fresh(document: str) -> None:
    """A generated part of a document is the same as what the code generates now."""
    assert (ROOT / document).read_text(encoding="utf-8") == with_parts(document), (
        "run: python -m tests.documents"
    )


@pytest.mark.parametrize(
    "document", ["README.md", "worker/README.md", "contracts/README.md", "deploy/README.md"]
)
def test_links_between_documents_lead_somewhere(document: str) -> None:
    """Every relative link of a document names a file or folder that exists."""
    text = re.sub(r"`[^`]*`", "", (ROOT / document).read_text(encoding="utf-8"))
    targets = [link for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) if "://" not in link]
    missing = [target for target in targets if not ((ROOT / document).parent / target).exists()]
    assert missing == []


def test_the_map_of_the_house_names_files_that_exist() -> None:
    """Every file that worker/README.md sends a newcomer to is there."""
    text = (ROOT / "worker/README.md").read_text(encoding="utf-8")
    table = text[text.index("## Where things live") : text.index("## A fifth provider")]
    named = re.findall(r"`((?:core|ledger|rabbitmq|operations|telemetry|settings)/[\w/]+\.py)", table)
    assert named
    assert [name for name in named if not Path(ROOT, "worker", name).exists()] == []
