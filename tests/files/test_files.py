"""A file is the old one or the new one; a folder belongs to one run at a time."""

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import filelock
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solartrack import _files
from solartrack.errors import ArchiveError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# -- replacing ---------------------------------------------------------------------


def test_the_new_content_is_there_after_the_block_and_not_before(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with _files.replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old" and partial.parent == tmp_path
    assert path.read_text() == "new" and names(tmp_path) == ["a.csv"]


@pytest.mark.parametrize(
    "name", ["map.2014.02.fits.gz", "a.csv", "none", ".hidden", "é" * 120 + ".png", "x" * 255]
)
def test_the_temporary_name_is_hidden_has_the_same_suffixes_and_fits_where_the_name_fits(tmp_path, name):
    path = tmp_path / name
    with _files.replacing(path) as partial:
        assert partial.name.startswith(".") and partial.name.endswith(name[-8:])
        assert _files._PARTIAL.fullmatch(partial.name)
        partial.write_text("new")
    assert path.read_text() == "new"


class Fault(Exception):
    pass


@given(
    old=st.none() | st.binary(max_size=20),
    chunks=st.lists(st.binary(max_size=20), max_size=4),
    fault=st.sampled_from(
        [Fault(), KeyboardInterrupt(), SystemExit(1), OSError(errno.ENOSPC, "full"), GeneratorExit()]
    ),
    step=st.integers(0, 5),
)
def test_whatever_fails_in_the_block_the_old_content_stays(old, chunks, fault, step):
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "table.parquet"
        if old is not None:
            path.write_bytes(old)

        def write():
            with _files.replacing(path) as partial, partial.open("wb") as file:
                for i, chunk in enumerate(chunks):
                    if i == step:
                        raise fault
                    file.write(chunk)
                if step >= len(chunks):
                    raise fault

        with pytest.raises(type(fault)):
            write()
        assert (path.read_bytes() if path.exists() else None) == old
        assert names(path.parent) == (["table.parquet"] if old is not None else [])


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_what_fails_after_the_block_leaves_the_old_file_too(tmp_path, monkeypatch, step):
    path = tmp_path / "a"
    path.write_text("old")

    def failing(*given, **more):
        raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr(*((Path, "replace") if step == "replace" else (os, step)), failing)
    with pytest.raises(OSError, match="the disk is broken"):
        _files.write_bytes(path, b"new")
    monkeypatch.undo()
    assert path.read_text() == "old" and names(tmp_path) == ["a"]


def test_file_and_folder_are_flushed_in_this_order(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda h: done.append(os.readlink(f"/proc/self/fd/{h}")) or fsync(h))
    monkeypatch.setattr(Path, "replace", lambda self, to: done.append("rename") or replace(self, to))
    _files.write_bytes(tmp_path / "a", b"new")
    assert len(done) == 3 and done[0].endswith(".a") and done[1:] == ["rename", str(tmp_path)]


def test_a_folder_that_cannot_be_flushed_is_no_failure(tmp_path, monkeypatch):
    fsync = os.fsync

    def only_files(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not here")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", only_files)
    _files.write_bytes(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_sigkill_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = (
        "import os, signal, sys\n"
        "from solartrack import _files\n"
        "with _files.replacing(sys.argv[1]) as partial:\n"
        "    partial.write_bytes(b'new')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old" and len(names(tmp_path)) == 2
    _files.remove_partial(tmp_path)
    assert names(tmp_path) == ["a.bin"]


def test_scratch_is_gone_after_the_block_and_what_a_killed_process_leaves_is_removed(tmp_path):
    with pytest.raises(RuntimeError), _files.scratch(tmp_path) as folder:
        (folder / "large").write_bytes(b"x")
        assert folder.parent == tmp_path and stat.S_IMODE(folder.stat().st_mode) == 0o700
        raise RuntimeError
    assert names(tmp_path) == []
    code = (
        "import os, signal, sys\n"
        "from solartrack import _files\n"
        "with _files.scratch(sys.argv[1]) as folder:\n"
        "    (folder / 'large').write_bytes(b'x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -signal.SIGKILL
    (tmp_path / "mine").mkdir()
    assert len(names(tmp_path)) == 2
    _files.remove_partial(tmp_path)
    assert names(tmp_path) == ["mine"]


def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    target, link, dangling = tmp_path / "far/data", tmp_path / "link", tmp_path / "dangling"
    target.write_text("old")
    link.symlink_to("far/data")
    dangling.symlink_to("far/later")
    _files.write_bytes(link, b"new")
    _files.write_bytes(dangling, b"made")
    assert link.is_symlink() and dangling.is_symlink()
    assert target.read_bytes() == b"new" and (tmp_path / "far/later").read_bytes() == b"made"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        _files.write_bytes(tmp_path / "loop", b"new")


def test_of_a_hard_linked_file_only_this_name_changes(tmp_path):
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_text("old")
    other.hardlink_to(path)
    _files.write_bytes(path, b"new")
    assert path.read_bytes() == b"new" and other.read_bytes() == b"old"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o755, 0o444])
def test_permissions_are_kept_and_never_wider_meanwhile(tmp_path, mode):
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(mode)
    if not os.access(path, os.W_OK):
        pytest.skip("only root may write here")
    with _files.replacing(path) as partial:
        assert stat.S_IMODE(partial.stat().st_mode) & ~0o600 == 0
        partial.write_text("new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_write_protected_file_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("old")
    monkeypatch.setattr(os, "access", lambda *given: False)  # nothing is protected from root
    with pytest.raises(PermissionError, match=r"write-protected.*a'"):
        _files.write_bytes(path, b"new")
    assert path.read_text() == "old" and names(tmp_path) == ["a"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_file_has_what_the_umask_leaves(tmp_path, umask):
    before = os.umask(umask)
    try:
        _files.write_bytes(tmp_path / "a", b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_root_leaves_the_owner_as_it_is(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    os.chown(path, 12345, 54321)
    _files.write_bytes(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 54321)


def test_no_existing_file_and_no_link_is_opened_as_the_temporary_one(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr(_files.secrets, "token_hex", lambda n: "0" * 16)
    trap = tmp_path / f".{'0' * 16}.solartrack-part.a"
    trap.symlink_to(victim)
    with pytest.raises(FileExistsError):
        _files.write_bytes(tmp_path / "a", b"new")
    assert victim.read_text() == "precious"


def test_devices_and_pipes_are_written_to_and_stay(tmp_path):
    _files.write_bytes("/dev/null", b"new")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard = []
    listener = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    listener.start()
    _files.write_bytes(pipe, b"new")
    listener.join()
    assert heard == [b"new"] and pipe.is_fifo()


def test_errors_name_what_was_asked_for_and_not_the_temporary_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such folder: .*none'"):
        _files.write_bytes(tmp_path / "none" / "a", b"new")
    with pytest.raises(IsADirectoryError, match="this is a folder"):
        _files.write_bytes(tmp_path, b"new")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="file") as caught:
        _files.write_bytes(tmp_path / "file" / "a", b"new")
    assert "solartrack-part" not in str(caught.value)


def test_a_full_disk_costs_the_new_file_only(small_disk):
    path = small_disk / "a.bin"
    path.write_bytes(b"old" * 1000)
    with pytest.raises(OSError, match=r"No space left on device: '.*/a\.bin'") as caught:
        _files.write_bytes(path, bytes(400_000))
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old" * 1000 and names(small_disk) == ["a.bin"]


# -- removing ----------------------------------------------------------------------


def test_only_own_partial_files_are_removed(tmp_path):
    own = f".{'0123456789abcdef'}.solartrack-part.part-000001.parquet"
    foreign = [
        ".part-of-my-thesis",
        ".part-4711",
        f".{'0123456789abcdeg'}.solartrack-part.a",  # not hexadecimal
        f".{'0123456789abcde'}.solartrack-part.a",
        f"{'0123456789abcdef'}.solartrack-part.a",
        f".{'0123456789abcdef'}.solartrack-part",
        f".{'0123456789abcdef'}.solartrack-parts.a",
    ]
    for name in [own, *foreign]:
        (tmp_path / name).write_text("x")
    folder, link = (tmp_path / f".{digit * 16}.solartrack-part.a" for digit in "12")
    folder.mkdir()
    link.symlink_to(tmp_path / ".part-of-my-thesis")
    _files.remove_partial(tmp_path)
    assert set(names(tmp_path)) == {*foreign, folder.name, link.name}


# -- exclusive ---------------------------------------------------------------------

HOLD = """
import sys
from solartrack import _files
with _files.exclusive(sys.argv[1]):
    print("in", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def holder(folder):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "in\n"
        yield process
        process.kill()


def refused(folder):
    try:
        with _files.exclusive(folder):
            return False
    except ArchiveError as error:
        assert "another run is working in" in str(error)
        return True


def test_a_folder_is_made_and_kept_from_other_processes_until_the_holder_is_killed(tmp_path):
    folder = tmp_path / "a" / "b"
    with holder(folder) as process:
        assert refused(folder)
        (tmp_path / "link").symlink_to(folder)
        assert refused(tmp_path / "link")
        process.kill()
        process.wait()
        assert not refused(folder)
    assert names(folder) == [".lock"]


def test_other_threads_and_inner_blocks_are_kept_out_too(tmp_path):
    found = []
    with _files.exclusive(tmp_path):
        thread = threading.Thread(target=lambda: found.append(refused(tmp_path)))
        thread.start()
        thread.join()
        assert found == [True] and refused(tmp_path)
    assert not refused(tmp_path)


def test_an_error_in_the_block_releases_the_lock(tmp_path):
    with pytest.raises(Fault), _files.exclusive(tmp_path):
        raise Fault
    assert not refused(tmp_path)


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError()])
def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, error):
    def acquire(self, *given, **more):
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with pytest.warns(UserWarning, match="has no locks: make sure"), _files.exclusive(tmp_path):
        done = True
    assert done


def test_other_errors_of_locking_are_errors(tmp_path, monkeypatch):
    def acquire(self, *given, **more):
        raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with pytest.raises(OSError, match="broken"), _files.exclusive(tmp_path):
        pass


def test_a_link_in_the_place_of_the_lock_is_refused_and_its_target_unharmed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.lock").symlink_to(victim)
    with pytest.raises(ArchiveError, match="is a symbolic link"), _files.exclusive(tmp_path / "run"):
        pass
    assert victim.read_text() == "precious"


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path):
    (tmp_path / "a").write_text("x")
    with pytest.raises(NotADirectoryError, match="this is a file"), _files.exclusive(tmp_path / "a"):
        pass
