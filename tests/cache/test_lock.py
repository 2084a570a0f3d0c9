"""One writer per folder, and tokens that end with their run."""

import os

import pytest

from cache.errors import KeyReIDError
from cache.files import write_whole
from cache.lock import LOCK, check_token, lock_folder


def test_a_second_writer_is_refused_and_the_first_is_named(tmp_path):
    busy = rf"process {os.getpid()} on .* is writing"
    with lock_folder(tmp_path), pytest.raises(KeyReIDError, match=busy), lock_folder(tmp_path):
        pass
    with lock_folder(tmp_path):  # free again
        pass


def test_a_link_in_place_of_the_lock_is_refused_and_its_target_left_alone(tmp_path):
    target = tmp_path / "notes.txt"
    target.write_text("mine")
    (tmp_path / LOCK).symlink_to(target)
    with pytest.raises(KeyReIDError, match="is a symbolic link, not a lock"), lock_folder(tmp_path):
        pass
    assert target.read_text() == "mine"


def test_a_worker_whose_run_is_over_writes_nothing(tmp_path):
    with lock_folder(tmp_path) as token:
        check_token(tmp_path, token)
    with pytest.raises(KeyReIDError, match="no longer holds"):
        check_token(tmp_path, token)
    with lock_folder(tmp_path), pytest.raises(KeyReIDError, match="no longer holds"):
        check_token(tmp_path, token)


def test_a_shard_whose_run_ends_while_it_is_written_gets_no_name(tmp_path, monkeypatch):
    path = tmp_path / "shard-00000.h5"
    path.write_bytes(b"before")
    with lock_folder(tmp_path) as token:
        pass
    fsync, steps = os.fsync, []

    def note(descriptor):
        steps.append("written")
        fsync(descriptor)

    def check():
        steps.append("checked")
        check_token(tmp_path, token)

    monkeypatch.setattr(os, "fsync", note)
    with pytest.raises(KeyReIDError, match="no longer holds"):
        write_whole(path, b"late", check)
    assert steps == ["written", "checked"]
    assert path.read_bytes() == b"before" and not list(tmp_path.glob("*.tmp"))
