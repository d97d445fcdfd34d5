"""The key file: made whole, kept private, never replaced by mistake."""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from worker.core.errors import ConfigurationError
from worker.keyring import key_file as key_file_module
from worker.keyring import load, load_or_create, read_keys, rotate
from worker.keyring.sealing_keys import SealingKey, new_key

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db.keys.json"
    load_or_create(path, may_create=True)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_missing_file_is_made_for_the_owner_alone(tmp_path: Path) -> None:
    """The file is made with mode 0600 whatever the umask, and nothing else is left in its folder."""
    path = tmp_path / "keys.json"
    before = os.umask(0)
    try:
        ring = load_or_create(path, may_create=True)
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert ring.key_ids == tuple(key.key_id for key in read_keys(path.read_text(), "file"))


def test_second_start_reads_the_same_keys(key_file: Path) -> None:
    """What was sealed before a restart opens after it."""
    sealed = load_or_create(key_file, may_create=True).seal(b"plain", "c")
    assert load_or_create(key_file, may_create=False).open(sealed, "c") == b"plain"
    assert load(key_file).open(sealed, "c") == b"plain"


def test_missing_file_beside_a_ledger_is_not_replaced(tmp_path: Path) -> None:
    """With a ledger in place a lost key file is an error, not a reason for a new key."""
    path = tmp_path / "keys.json"
    with pytest.raises(ConfigurationError, match="missing, but a ledger sealed with its keys exists"):
        load_or_create(path, may_create=False)
    assert list(tmp_path.iterdir()) == []


def test_worker_that_comes_second_takes_the_keys_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two workers that start at once one makes the file and both use it."""
    path = tmp_path / "keys.json"
    link = os.link

    def first_comes_between(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        load_or_create(path, may_create=True)
        os.link(source, target)

    monkeypatch.setattr(os, "link", first_comes_between)
    second = load_or_create(path, may_create=True)
    assert load(path).open(second.seal(b"plain", "c"), "c") == b"plain"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves neither half a key file nor a draft behind."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match="No space left"):
        load_or_create(tmp_path / "keys.json", may_create=True)
    assert list(tmp_path.iterdir()) == []


def test_file_and_folder_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are on the disk before anything is sealed with them: first the file, then its folder."""
    synced = []

    def note(descriptor: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))

    monkeypatch.setattr(os, "fsync", note)
    load_or_create(tmp_path / "keys.json", may_create=True)
    assert synced == [False, True]


@pytest.mark.parametrize("bits", [0o604, 0o602, 0o601, 0o620, 0o644, 0o666])
def test_file_that_others_can_reach_is_refused(key_file: Path, bits: int) -> None:
    """A file that others may read, or the group may write, is refused with the command that cures it."""
    key_file.chmod(bits)
    for read in (load, lambda path: load_or_create(path, may_create=True)):
        with pytest.raises(ConfigurationError, match=rf"mode {bits:04o}.*chmod 600"):
            read(key_file)


@pytest.mark.parametrize("bits", [0o600, 0o400, 0o640, 0o440])
def test_file_for_owner_and_group_is_read(key_file: Path, bits: int) -> None:
    """A group may read, since that is how a secret is mounted for a user who is not root."""
    key_file.chmod(bits)
    assert load(key_file).key_ids


def test_worker_follows_no_link_for_its_own_file(tmp_path: Path, key_file: Path) -> None:
    """A link in the place of the worker's own file is refused, whether it leads somewhere or not."""
    for name, target in (("link", key_file), ("dangling", tmp_path / "nowhere")):
        link = tmp_path / name
        link.symlink_to(target)
        with pytest.raises(ConfigurationError, match="symbolic link"):
            load_or_create(link, may_create=True)
        with pytest.raises(ConfigurationError, match="symbolic link"):
            rotate(link, seals_from=NOW)
    assert not (tmp_path / "nowhere").exists()


def test_mounted_secret_may_be_a_link(tmp_path: Path, key_file: Path) -> None:
    """A file that a person named is read through links, because Kubernetes mounts secrets that way."""
    link = tmp_path / "mounted"
    link.symlink_to(key_file)
    assert load(link).key_ids == load(key_file).key_ids


def make_folder(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def make_binary(path: Path) -> None:
    path.write_bytes(b"\xff\xfe canary")
    path.chmod(0o600)


def make_nonsense(path: Path) -> None:
    path.write_text('{"keys": "canary"}')
    path.chmod(0o600)


def make_nothing(path: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (make_folder, "directory"),
        (make_pipe, "not a regular file"),
        (make_binary, "is not text"),
        (make_nonsense, "is no key file: keys: tuple_type"),
        (make_nothing, "No such file"),
    ],
)
def test_what_is_no_key_file_is_named(tmp_path: Path, make: Callable[[Path], None], sentence: str) -> None:
    """Each other thing in the file's place is an error of configuration that shows no content."""
    path = tmp_path / "keys.json"
    make(path)
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        load(path)
    assert "canary" not in str(caught.value)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    """The worker makes the file but not the folder: a mistyped path shall be seen."""
    with pytest.raises(ConfigurationError, match="No such file or directory"):
        load_or_create(tmp_path / "nowhere" / "keys.json", may_create=True)


def test_rotation_adds_a_key_and_keeps_the_old(key_file: Path) -> None:
    """After a rotation old data opens, new data is sealed under the new key, and the mode is as it was."""
    key_file.chmod(0o640)
    old = load(key_file)
    sealed = old.seal(b"old", "c")
    new_id = rotate(key_file, seals_from=datetime.now(UTC) - timedelta(seconds=1))
    rotated = load(key_file)
    assert rotated.key_ids == (*old.key_ids, new_id)
    assert rotated.open(sealed, "c") == b"old"
    assert rotated.same(old.fingerprint(b"content"), b"content")
    assert mode(key_file) == 0o640
    assert list(key_file.parent.iterdir()) == [key_file]


def test_rotation_keeps_the_owner(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotation by root leaves the file to the worker."""
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda _file, user, group: given.append((user, group)))
    rotate(key_file, seals_from=NOW)
    status = key_file.stat()
    assert given == [(status.st_uid, status.st_gid)]


def test_rotations_do_not_overtake_each_other(key_file: Path) -> None:
    """While one rotation is under way a second one is refused, and the file stays as it was."""
    before = key_file.read_text()
    draft = key_file.with_name(f"{key_file.name}.new")
    draft.touch()
    with pytest.raises(ConfigurationError, match="another rotation is under way"):
        rotate(key_file, seals_from=NOW)
    assert key_file.read_text() == before
    assert draft.exists()


def test_each_key_that_a_rotation_announced_is_in_the_file(
    key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotation that comes while another has read and not written the file is refused, or its key stays."""
    announced = [*load(key_file).key_ids]

    def other_comes_between(seals_from: datetime) -> SealingKey:
        monkeypatch.setattr(key_file_module, "new_key", new_key)
        with suppress(ConfigurationError):
            announced.append(rotate(key_file, seals_from=NOW))
        return new_key(seals_from)

    monkeypatch.setattr(key_file_module, "new_key", other_comes_between)
    announced.append(rotate(key_file, seals_from=NOW))
    assert load(key_file).key_ids == tuple(announced)
    assert list(key_file.parent.iterdir()) == [key_file]


def test_rotation_that_fails_leaves_no_draft(tmp_path: Path) -> None:
    """A file that cannot be read does not keep its lock: the next rotation is not refused because of it."""
    path = tmp_path / "keys.json"
    for make, sentence in ((make_nothing, "No such file"), (make_nonsense, "is no key file")):
        make(path)
        with pytest.raises(ConfigurationError, match=sentence):
            rotate(path, seals_from=NOW)
        assert not path.with_name("keys.json.new").exists()
