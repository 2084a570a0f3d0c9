"""A disk that is full, or a folder that is closed: said in words, and finished by the next run."""

import contextlib
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.verify import verify
from stages.pose.extract import run
from tests.limits import file_size_limit, nobody
from tests.stages.pose.compare import assert_same_shards
from tests.stages.pose.tiny import config


def test_a_full_disk_stops_the_run_and_the_next_one_finishes_it(frames, estimator, finished, tmp_path):
    with file_size_limit(40_000), pytest.raises(KeyReIDError) as error:
        run(frames, config(estimator), tmp_path)
    text = str(error.value)
    assert "shard-00000.h5" in text and "free some space" in text and "MB" in text
    assert not list(tmp_path.glob("*.tmp")) and not (tmp_path / "manifest.json").exists()
    run(frames, config(estimator), tmp_path)
    assert_same_shards(tmp_path, finished)


def test_a_full_disk_in_a_worker_process_says_so(frames, estimator, tmp_path):
    with file_size_limit(40_000), pytest.raises(KeyReIDError, match="free some space"):
        run(frames, config(estimator, workers=2), tmp_path)
    assert not list(tmp_path.glob("*.tmp"))


@pytest.fixture
def small_disk(tmp_path):
    """A folder that is a disk of its own, and a function that sets how many pages it holds."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(pages: int, options: str = "remount") -> int:
        size = f"{options},size={pages * resource.getpagesize()}"
        command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
        return subprocess.run(command, check=False, capture_output=True).returncode

    if shutil.which("mount") is None or mount(1, "rw"):
        pytest.skip("a file system can be mounted by root only, and not in every container")
    yield folder, mount
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full_at_any_write_says_so_until_there_is_room(
    frames, estimator, finished, small_disk
):
    disk, resize = small_disk
    page, folder = resource.getpagesize(), disk / "poses"
    (disk / "other").write_bytes(bytes(page))
    whole = sum(-(-path.stat().st_size // page) for path in finished.iterdir())
    stopped_at = []
    for room in (0, 1, 2, 3, whole // 2, whole * 3 // 4):  # pages beside the other file
        assert resize(1 + room) == 0
        with pytest.raises(KeyReIDError, match="free some space") as error:
            run(frames, config(estimator), folder)
        stopped_at.append(Path(str(error.value).split()[2]).name)
        assert not list(folder.glob("*.tmp"))
        with pytest.raises(KeyReIDError, match=r"not finished|no pose cache"):
            PoseCache.open(folder)
    assert stopped_at[:3] == ["lock", "sources.npy", "plan.json"]
    assert stopped_at[3:] == [f"shard-{number:05d}.h5" for number in range(3)]
    assert resize(1 + whole + 2) == 0  # for the lock's note and the progress bar
    run(frames, config(estimator), folder)
    assert verify(folder) == []
    assert_same_shards(folder, finished)


def test_a_folder_that_cannot_be_written_is_named(frames, estimator, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    for path in (tmp_path, *list(tmp_path.parents)[:3]):
        with contextlib.suppress(PermissionError):
            path.chmod(path.stat().st_mode | 0o055)
    weights = tmp_path / "tiny.safetensors"
    shutil.copyfile(estimator.with_suffix(".safetensors"), weights)
    weights.chmod(0o644)
    for target in (closed, closed / "new"):
        with nobody(), pytest.raises(KeyReIDError, match="choose a folder that you may write to") as error:
            run(frames, config(estimator, weights=weights), target)
        assert str(target) in str(error.value)
    (tmp_path / "file").touch()
    with pytest.raises(KeyReIDError, match="there is a file of that name"):
        run(frames, config(estimator), tmp_path / "file")
