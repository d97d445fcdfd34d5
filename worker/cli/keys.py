"""`provisioner keys …`: make and rotate keys."""

import json
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.common import Json, Misuse, exit_codes
from worker.cli.later import Later
from worker.cli.output import cell, out, print_json
from worker.core.errors import ConfigurationError

if TYPE_CHECKING:
    from worker import keyring
else:
    keyring = Later("worker.keyring")

app = typer.Typer(no_args_is_help=True, help="Make and rotate keys.")


_LATEST_SEALING = timedelta(days=365) / timedelta(minutes=1)


class Kind(StrEnum):
    """Which keys to make."""

    SEALING = "sealing"
    CONSUMER = "consumer"


@app.command(epilog="Example: provisioner keys new consumer --kid crm-2026 --folder keys")
def new(
    kind: Annotated[
        Kind, typer.Argument(help="sealing: for the ledger; consumer: a pair for one-time credentials.")
    ],
    folder: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to write.")] = Path(),
    kid: Annotated[str, typer.Option(metavar="NAME", help="Name of the consumer's key.")] = "consumer",
    as_json: Json = False,
) -> None:
    """Make new keys in files that only you may read. Existing files are never overwritten."""
    with exit_codes():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            purposes = _sealing(folder) if kind is Kind.SEALING else _consumer_pair(folder, kid)
        except OSError as error:
            raise ConfigurationError(f"{folder} cannot be written: {error.strerror}") from None
    if as_json:
        print_json([{"file": path, "purpose": purpose} for path, purpose in purposes.items()])
    for path, purpose in purposes.items() if not as_json else ():
        out.print(f"{cell(path)}: {purpose}", markup=False)


@app.command(epilog="Example: provisioner keys rotate sealing.keys.json --seals-after 30")
def rotate(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The sealing key file.")],
    seals_after: Annotated[
        float,
        typer.Option(
            metavar="MINUTES",
            min=0,
            max=_LATEST_SEALING,
            help="Time to give the file to every worker and restart them all; until then the old key seals.",
        ),
    ] = 0,
    as_json: Json = False,
) -> None:
    """Add a newest key to a sealing key file; older keys stay, to open what they sealed."""
    seals_from = datetime.now(UTC) + timedelta(minutes=seals_after)
    with exit_codes():
        key_id = keyring.rotate(path, seals_from=seals_from)
    if as_json:
        print_json({"file": path, "key": key_id, "seals_from": seals_from})
    elif seals_after:
        out.print(
            f"{cell(path)}: key {key_id} seals from {cell(seals_from)} UTC on; before that, give this file to every "
            "worker and restart them all. Back it up now",
            markup=False,
        )
    else:
        out.print(
            f"{cell(path)}: key {key_id} seals from now on; restart the worker. Back the file up now",
            markup=False,
        )


def _sealing(folder: Path) -> dict[Path, str]:
    path = folder / "sealing.keys.json"
    _refuse_existing(path)
    keyring.load_or_create(path, may_create=True)
    return {path: "set PROVISIONER_SEALING__KEYS_FILE to it, and keep a copy as safe as the ledger's"}


def _consumer_pair(folder: Path, kid: str) -> dict[Path, str]:
    if not kid or kid.startswith(".") or not kid.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise Misuse("--kid becomes the name of two files: letters, digits, - _ and . only")
    private, public = keyring.new_consumer_key(kid, datetime.now(UTC))
    private_path, public_path = folder / f"{kid}.private.jwk.json", folder / f"{kid}.jwks.json"
    for path in (private_path, public_path):
        _refuse_existing(path)
    private_path.touch(mode=0o600, exist_ok=False)
    private_path.write_text(json.dumps(private, indent=2) + "\n", encoding="utf-8")
    public_path.write_text(json.dumps(public, indent=2) + "\n", encoding="utf-8")
    return {
        public_path: "set PROVISIONER_CREDENTIALS__KEYS_FILE to it",
        private_path: "belongs to the consumer alone",
    }


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise ConfigurationError(f"{path} exists already and is not overwritten")
