"""A folder is touched only if this program provably made it."""

import numpy as np
import pytest

from cache.errors import KeyReIDError
from cache.folder import refuse_foreign, remove_leftovers
from cache.lock import lock_folder
from cache.writer import write_cache


@pytest.mark.parametrize(
    "names",
    [
        ["thesis.tmp"],
        ["shard-00000.h5"],
        ["shard-00000.h5", "notes.txt"],
        ["manifest.json"],
        ["lock", "data.bin"],
        ["plan.json", "lock"],
    ],
)
def test_a_folder_of_another_program_is_refused_and_left_as_it_is(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("{}")
    with pytest.raises(KeyReIDError, match=rf"{tmp_path} is not empty .*nothing was changed"):
        refuse_foreign(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_what_this_program_made_is_accepted_with_anything_beside_it(tmp_path):
    refuse_foreign(tmp_path)
    refuse_foreign(tmp_path / "absent")
    cache = write_cache(
        tmp_path / "poses", ["a"], np.zeros((1, 17, 64, 32), np.uint8), np.ones((1, 17, 3)), np.ones((1, 2))
    )
    (cache / "notes.txt").write_text("mine")
    refuse_foreign(cache)
    (cache / "manifest.json").write_text("{")  # the shard proves it
    refuse_foreign(cache)
    with lock_folder(cache):
        refuse_foreign(cache)
    (cache / "shard-00000.h5").write_text("damaged")  # the lock proves it, during a run and after
    refuse_foreign(cache)


def test_a_run_that_was_stopped_before_its_plan_is_accepted(tmp_path):
    for name in ("lock", "sources.npy", "plan.json.01234567.tmp", "unreadable-frames.txt"):
        (tmp_path / name).touch()
    refuse_foreign(tmp_path)


def test_leftovers_are_files_that_our_writer_names_so(tmp_path):
    ours = ["shard-00003.h5.0a1b2c3d.tmp", "plan.json.00000000.tmp", "progress.tmp", "probe.12345678.tmp"]
    others = ["thesis.tmp", "shard-00003.h5.tmp", "shard-00003.h5", "plan.json", "x.0a1b2c3d.tmp"]
    for name in ours + others:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
