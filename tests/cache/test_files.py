"""Files are written whole or not at all, and only regular files are read."""

import os
from pathlib import Path

import pytest

from cache.errors import KeyReIDError
from cache.files import (
    make_folder,
    prepare_file,
    read_regular,
    sha256_of,
    write_whole,
    writing,
    writing_folder,
)


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "scores.json"
    write_whole(path, b"old")
    with pytest.raises(ZeroDivisionError), writing(path) as aside:
        aside.write_bytes(b"half of the new")
        1 / 0  # noqa: B018
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    write_whole(path, b"new")
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "there is a folder of that name"),
        ("none/x", "No such file"),
        ("file/x", "there is a file of that name"),
    ],
)
def test_a_place_that_cannot_be_written_is_named(tmp_path, name, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(KeyReIDError, match=rf"cannot .*{tmp_path / name}: {message}"):
        write_whole(tmp_path / name, b"x")


def test_an_output_is_tried_before_work(tmp_path):
    prepare_file(tmp_path / "new" / "x.h5")
    assert list(tmp_path.rglob("*")) == [tmp_path / "new"]
    (tmp_path / "file").touch()
    with pytest.raises(KeyReIDError, match="there is a folder of that name"):
        prepare_file(tmp_path / "new")
    with pytest.raises(KeyReIDError, match="file"):
        make_folder(tmp_path / "file")


def test_a_folder_is_there_once_it_is_whole_and_a_link_to_it_stays(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "link").symlink_to("old")
    for name in ("link", "new"):
        with pytest.raises(KeyboardInterrupt), writing_folder(tmp_path / name) as aside:
            (aside / "half").touch()
            raise KeyboardInterrupt
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["link", "old"]
    with writing_folder(tmp_path / "link") as aside:
        (aside / "whole").touch()
    assert (tmp_path / "old/whole").is_file() and (tmp_path / "link").is_symlink()


def test_a_folder_that_is_a_file_is_named_before_anything_is_made_for_it(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "new"):
        with pytest.raises(KeyReIDError, match="file of that name"), writing_folder(path):
            pytest.fail("started")


def test_a_device_pipe_or_link_is_not_replaced_by_an_output(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(KeyReIDError, match=rf"cannot write {tmp_path / name}: there is a .* name "):
            prepare_file(tmp_path / name)
    with pytest.raises(KeyReIDError, match="device or pipe"):
        write_whole(tmp_path / "pipe", b"x")
    assert (tmp_path / "link").is_fifo() and len(list(tmp_path.iterdir())) == 2


def test_a_name_that_is_too_long_with_that_of_the_unfinished_file_is_found_out_before_work(tmp_path):
    with pytest.raises(KeyReIDError, match="name too long"):
        prepare_file(tmp_path / ("n" * 250))


def test_only_regular_files_within_the_limit_are_read(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_regular(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="more than"):
        read_regular(tmp_path / "a", 4)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_regular(tmp_path / "pipe", 5)


def test_a_weights_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(KeyReIDError, match=r"weights\.pth: missing; give a file"):
        sha256_of(tmp_path / "weights.pth")


def test_a_folder_where_storage_is_mounted_is_not_replaced():
    with pytest.raises(KeyReIDError, match="/proc: is where other storage"), writing_folder(Path("/proc")):
        pass
