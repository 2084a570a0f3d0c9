"""Parts of a cache, made by jobs of their own, are together what one job makes; what is missing is named."""

import shutil

import pytest

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.folder import SOURCES
from stages.pose.extract import run
from stages.pose.parts import Share, merge
from tests.stages.pose.compare import assert_same_shards
from tests.stages.pose.tiny import config


@pytest.fixture(scope="module")
def parts(frames, estimator, tmp_path_factory):
    """Folder with the three parts of `poses`."""
    folder = tmp_path_factory.mktemp("parts")
    for number in (2, 1, 3):
        run(frames, config(estimator), folder / "poses", Share(number, 3))
    return folder


@pytest.fixture
def copy(parts, tmp_path):
    return shutil.copytree(parts, tmp_path / "copy") / "poses"


def test_parts_put_together_are_byte_for_byte_the_cache_of_one_job(copy, frames, estimator, finished):
    assert_same_shards(merge(copy), finished)
    assert (copy / SOURCES).read_bytes() == (finished / SOURCES).read_bytes()
    one, other = PoseCache.open(copy).info, PoseCache.open(finished).info
    assert one.fingerprint == other.fingerprint and one.shards == other.shards
    before = {path: path.stat().st_mtime_ns for path in copy.iterdir()}
    run(frames, config(estimator), copy)  # for one job there is nothing left to do
    assert {p: t for p, t in before.items() if p.suffix == ".h5"} == {
        path: path.stat().st_mtime_ns for path in copy.glob("*.h5")
    }
    (copy / "shard-00001.h5").unlink()
    assert_same_shards(merge(copy), finished)


def test_missing_and_unfinished_parts_are_named(copy):
    second = Share(2, 3).path(copy)
    (second / "manifest.json").unlink()
    with pytest.raises(KeyReIDError, match=r"part-2-of-3: not finished; run its job again"):
        merge(copy)
    shutil.rmtree(second)
    with pytest.raises(KeyReIDError, match=r"part 2 of 3 is missing; run the job with --part 2/3"):
        merge(copy)
    shutil.copytree(Share(1, 3).path(copy), Share(1, 2).path(copy))
    with pytest.raises(KeyReIDError, match="several splits beside it, in 2 and in 3"):
        merge(copy)
    assert not copy.exists()


def test_damaged_parts_and_parts_of_other_settings_are_refused(copy, frames, estimator):
    part = Share(2, 3).path(copy)
    shutil.rmtree(part)
    run(frames, config(estimator, padding=1.25), copy, Share(2, 3))
    with pytest.raises(
        KeyReIDError, match=r"part-2-of-3: not a part of the same cache.*padding: 1.0 -> 1.25"
    ):
        merge(copy)
    shutil.rmtree(part)
    shutil.copytree(Share(1, 3).path(copy), part)
    with pytest.raises(KeyReIDError, match="do not hold the frames of the data set"):
        merge(copy)
    (shard,) = sorted(part.glob("*.h5"))[:1]
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(KeyReIDError, match=r"part-2-of-3: .*run its job again"):
        merge(copy)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/" + "9" * 5000])
def test_parts_that_are_none_are_refused(text):
    with pytest.raises(KeyReIDError, match=r"expected I/N with I from 1 to N"):
        Share.parse(text)


@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_every_row_is_in_one_part(count):
    rows = [row for number in range(1, 8) for row in Share(number, 7).rows(count)]
    assert rows == list(range(count))
