"""A row of runs is counted honestly."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tests.repeat import Run, as_markdown, read, row, state_of

GOOD = Run("state", "2026-11-26 00:00:00", 7, 400.0, 100, 2, (), complete=True)
BEGAN = datetime(2026, 11, 26, tzinfo=UTC)


def test_only_what_follows_the_last_bad_run_of_the_same_state_counts() -> None:
    """A failure, an interruption, more than ten minutes and another state of the code each begin the row anew."""
    failed = replace(GOOD, failed=("tests.core::test_it",))
    assert row([GOOD, GOOD], "state") == [GOOD, GOOD]
    for bad in (
        failed,
        replace(GOOD, complete=False),
        replace(GOOD, seconds=601.0),
        replace(GOOD, state="old"),
    ):
        assert row([GOOD, bad, GOOD], "state") == [GOOD]
        assert row([GOOD, bad], "state") == []


def test_a_run_is_what_pytest_reported(tmp_path: Path) -> None:
    """Failures and errors are named, what was left out is no test, and without a report nothing counts."""
    report = tmp_path / "junit.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="a" name="good"/><testcase classname="a" name="bad"><failure/>'
        '</testcase><testcase classname="a" name="broken"><error/></testcase><testcase classname="a" name="none">'
        "<skipped/></testcase></testsuite></testsuites>"
    )
    run = read(report, state="state", began=BEGAN, seed=7, seconds=1.0, complete=True)
    assert (run.tests, run.skipped, run.failed, run.good) == (3, 1, ("a::bad", "a::broken"), False)
    assert not read(tmp_path / "none", state="state", began=BEGAN, seed=7, seconds=1.0, complete=True).good


def test_a_state_is_that_of_every_file_tests_run_on(tmp_path: Path) -> None:
    """Another line in any of them is another state; what was built or reported is none of it."""
    for name in (
        "requirements.lock",
        "Makefile",
        "worker/a.py",
        "tests/results/README.md",
    ):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text("one")
    project = tmp_path / "pyproject.toml"
    project.write_text("[project]\nname = 'a'\n[tool.pytest]\ntimeout = 1\n[tool.ruff]\nline = 1\n")
    before = state_of(tmp_path)
    (tmp_path / "tests/results/README.md").write_text("two")
    project.write_text(project.read_text().replace("line = 1", "line = 2"))
    assert state_of(tmp_path) == before
    project.write_text(project.read_text().replace("timeout = 1", "timeout = 2"))
    changed = state_of(tmp_path)
    (tmp_path / "worker/a.py").write_text("two")
    assert len({before, changed, state_of(tmp_path)}) == 3


def test_the_list_tells_how_many_and_how_long() -> None:
    """What it claims is what is in it."""
    text = as_markdown([GOOD, replace(GOOD, seconds=450.0)], "state")
    assert "2 runs in a row without a failure" in text
    assert "the longest in 7.5 minutes" in text
    assert text.count("| 7 |") == 2
