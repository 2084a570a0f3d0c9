"""Files are written whole or not at all, and only regular files are read."""

import os

import pytest

from cache.errors import KeyReIDError
from cache.files import make_folder, prepare_file, read_regular, sha256_of, write_whole, writing


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
