"""The Dockerfile, read instruction by instruction: what the linter cannot see."""

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from worker.bootstrap.parts import revision
from worker.settings import REVISION

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
SHELLS = {"/usr/sbin/nologin", "/sbin/nologin", "/bin/false"}


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, its continuation lines joined; `stage` counts from 0, -1 before the first FROM."""

    stage: int
    name: str
    words: str


def read_instructions(text: str) -> tuple[Instruction, ...]:
    """The instructions of a Dockerfile without comments."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    instructions: list[Instruction] = []
    stage = -1
    for line in joined.splitlines():
        name, _, words = line.partition(" ")
        stage += name == "FROM"
        instructions.append(Instruction(stage, name, words.strip()))
    return tuple(instructions)


ALL = read_instructions(DOCKERFILE.read_text())
FINAL = tuple(each for each in ALL if each.stage == ALL[-1].stage)


def final(name: str) -> str:
    """The one instruction of this name in the final stage."""
    found = [each.words for each in FINAL if each.name == name]
    assert len(found) == 1, f"{name}: {found}"
    return found[0]


def settings_of_the_image() -> dict[str, str]:
    """The environment that the final stage sets."""
    words = " ".join(each.words for each in FINAL if each.name == "ENV")
    return dict(re.findall(r"(\w+)=(\S+)", words))


def test_hadolint_finds_nothing() -> None:
    """The linter has no complaint, not even a hint."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_every_stage_has_one_base_pinned_by_tag() -> None:
    """Both stages stand on the same image with a full tag, or the virtual environment would not fit."""
    default = next(each.words for each in ALL if each.stage == -1 and each.name == "ARG")
    assert re.fullmatch(r"BASE=python:3\.\d+-slim-[a-z]+", default)
    bases = [each.words.split()[0] for each in ALL if each.name == "FROM"]
    assert bases == ["${BASE}", "${BASE}"]


def test_the_final_stage_ends_as_a_fixed_number_that_is_not_root() -> None:
    """USER is numeric, the same number is made without a shell, and it owns the only writable folder."""
    user, _, group = final("USER").partition(":")
    assert int(user) >= 10000
    assert int(group) >= 10000
    run = final("RUN")
    assert f"useradd --uid {user} --gid {group}" in run
    shell = re.search(r"--shell (\S+)", run)
    assert shell is not None
    assert shell[1] in SHELLS
    assert f"--owner={user} --group={group} --mode=0700 /var/lib/provisioner" in run
    assert json.loads(final("VOLUME")) == ["/var/lib/provisioner"]


def test_nothing_runs_after_the_user_is_set_and_the_user_is_never_set_back() -> None:
    """No later step could need root, so none is given the chance."""
    names = [each.name for each in FINAL]
    assert not {"RUN", "COPY", "ADD"} & set(names[names.index("USER") :])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ENTRYPOINT", ["provisioner"]),
        ("CMD", ["run"]),
    ],
)
def test_the_program_is_started_without_a_shell(name: str, words: list[str]) -> None:
    """Exec form: a signal reaches the worker and no shell in front of it."""
    assert json.loads(final(name)) == words


def test_health_is_asked_with_the_workers_own_verb() -> None:
    """HEALTHCHECK calls the verb in exec form, with a start period and a limit."""
    options, _, command = final("HEALTHCHECK").partition("CMD ")
    assert json.loads(command) == ["provisioner", "healthcheck"]
    assert {"--interval", "--timeout", "--start-period", "--retries"} <= set(
        re.findall(r"--[a-z-]+", options)
    )


def test_it_stops_by_sigterm() -> None:
    """The signal that begins a drain."""
    assert final("STOPSIGNAL") == "SIGTERM"


def test_dependencies_come_from_the_lock_and_before_the_project() -> None:
    """Everything from an index is checked by hash and is a wheel; a change of source does not install it again."""
    build = [each for each in ALL if each.stage == 0]
    installs = [each.words for each in build if "pip" in each.words and each.name == "RUN"]
    from_index = [words for words in installs if "--requirement" in words]
    assert len(from_index) == 2
    assert all("--require-hashes" in words and "--only-binary=:all:" in words for words in from_index)
    words = [f"{each.name} {each.words}" for each in build]
    lock = next(i for i, line in enumerate(words) if "--requirement requirements.lock" in line)
    source = next(i for i, line in enumerate(words) if line.startswith("COPY worker"))
    assert lock < source


def test_the_project_is_installed_as_a_wheel_and_from_nowhere_else() -> None:
    """No index, no dependencies, no editable install, and a build without a download of its own."""
    run = next(each.words for each in ALL if each.stage == 0 and "/wheels/*.whl" in each.words)
    assert {"--no-index", "--no-deps", "--no-build-isolation"} <= set(run.split())
    assert "--editable" not in run
    assert "compileall" in run
    assert "--invalidation-mode unchecked-hash" in run


def test_the_final_stage_takes_only_the_virtual_environment() -> None:
    """Neither source tree nor lock nor build tools arrive there, and its installer is gone."""
    copies = [each.words for each in FINAL if each.name == "COPY"]
    assert copies == ["--from=build /opt/provisioner /opt/provisioner"]
    assert "pip uninstall" in final("RUN")


def test_nothing_is_fetched_by_address() -> None:
    """No ADD, no curl, no wget, no package manager of the system."""
    assert not [each for each in ALL if each.name == "ADD"]
    assert not [each for each in ALL if re.search(r"\b(curl|wget|apt-get|git)\b", each.words)]


def test_no_secret_could_be_baked_in() -> None:
    """No argument and no variable is named like a secret."""
    names = " ".join(each.words for each in ALL if each.name in {"ARG", "ENV"})
    assert not re.search(r"(?i)(password|secret|token|api_key)", names)


def test_it_runs_with_a_read_only_root() -> None:
    """What is written goes to the volume: the default ledger lies in the working folder, and no bytecode is made."""
    assert final("WORKDIR") == json.loads(final("VOLUME"))[0] == "/var/lib/provisioner"
    assert settings_of_the_image()["PYTHONDONTWRITEBYTECODE"] == "1"


def test_the_image_is_labelled() -> None:
    """The four labels that every registry shows."""
    labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", final("LABEL")))
    assert {"title", "description", "version", "revision"} <= labels


def test_what_was_built_is_told_by_the_running_worker() -> None:
    """The revision of the label is in the environment, from where the worker's metrics take it."""
    assert settings_of_the_image()[REVISION] == "${REVISION}"
    assert revision({REVISION: "abc123"}) == "abc123"
    assert revision({REVISION: ""}) == revision({}) == "unknown"


def test_the_version_is_the_projects() -> None:
    """The label's default is the version in pyproject.toml."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"VERSION={version}" in [each.words for each in FINAL if each.name == "ARG"]


def test_the_build_lock_is_the_one_the_tests_use() -> None:
    """The wheel is built by the same release of the build backend that the tests' lock names, hash by hash."""
    lines = (ROOT / "deploy" / "build-requirements.lock").read_text().splitlines()
    entry = "\n".join(line for line in lines if not line.startswith("#"))
    assert entry in (ROOT / "tests" / "requirements.lock").read_text()
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert [re.split(r"[<>=]", each)[0] for each in requires] == re.findall(
        r"^([a-z-]+)==", entry, re.MULTILINE
    )


def test_everything_that_is_copied_survives_dockerignore() -> None:
    """No pattern of .dockerignore takes away what a COPY needs."""
    copied = {
        "requirements.lock",
        "pyproject.toml",
        "README.md",
        "contracts",
        "worker",
        "deploy/build-requirements.lock",
    }
    from_context = {
        word.rstrip("/")
        for each in ALL
        if each.name == "COPY" and "--from=" not in each.words
        for word in each.words.split()[:-1]
    }
    assert from_context == copied
    kept = {path for path in copied if not is_ignored(path)}
    assert kept == copied


def is_ignored(path: str) -> bool:
    """Whether .dockerignore leaves this path out: the last pattern that matches it or a folder above it decides."""
    ignored = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip().removeprefix("!").strip("/")
        if not pattern or pattern.startswith("#"):
            continue
        parts = path.split("/")
        above = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
        if any(matches(pattern, each) for each in above):
            ignored = not line.strip().startswith("!")
    return ignored


def matches(pattern: str, path: str) -> bool:
    """Docker's patterns: `*` stops at a slash, `**` does not."""
    expression = re.escape(pattern).replace(r"\*\*/", "(.*/)?").replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
    return re.fullmatch(expression, path) is not None
