"""Names and files that no data set should have are one line, not a traceback."""

import os

import pytest

from cache.errors import KeyReIDError
from stages.datasets import load_dataset
from stages.datasets.files import list_folders, list_images, natural, read_json, read_text
from tests.stages.datasets.layouts import write_mars


def test_names_that_are_not_utf8_are_named(tmp_path):
    (tmp_path / "a\udcff").mkdir()
    for listing in (list_folders, list_images):
        with pytest.raises(KeyReIDError, match=r"'.*a\\udcff': the name is not UTF-8 text") as error:
            listing(tmp_path)
        str(error.value).encode()
    with pytest.raises(KeyReIDError, match="not UTF-8 text"):
        load_dataset("folder", tmp_path)


def test_names_of_several_lines_are_named(tmp_path):
    (tmp_path / "a\nb.jpg").touch()
    with pytest.raises(KeyReIDError, match="on one line"):
        list_images(tmp_path)


def test_links_that_lead_to_themselves_are_named(tmp_path):
    (tmp_path / "1").symlink_to(tmp_path / "1")
    with pytest.raises(KeyReIDError, match=r"/1: cannot be read: Too many levels of symbolic links"):
        list_folders(tmp_path)
    with pytest.raises(KeyReIDError, match=r"1: cannot be read"):
        read_text(tmp_path / "1")


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 100_000, "{", "\x00"])
def test_no_json_is_a_traceback(tmp_path, text):
    (tmp_path / "splits.json").write_text(text)
    with pytest.raises(KeyReIDError, match=r"splits.json: not JSON that can be read"):
        read_json(tmp_path / "splits.json")


def test_pipes_are_refused(tmp_path):
    os.mkfifo(tmp_path / "train_name.txt")
    with pytest.raises(KeyReIDError, match="cannot be read: not a regular file"):
        read_text(tmp_path / "train_name.txt")


def test_mars_frames_that_differ_in_their_ending_alone_are_refused(tmp_path):
    root = write_mars(tmp_path / "d")
    path = root / "info" / "train_name.txt"
    names = path.read_text().splitlines()
    names[1] = names[0].replace(".jpg", ".png")
    path.write_text("\n".join(names))
    with pytest.raises(KeyReIDError, match=r"\.jpg' and '.*\.png' differ in their ending alone"):
        load_dataset("mars", root, check_files=False)


def test_numbers_in_names_are_in_order_whatever_their_length():
    longest = "9" * 5000
    names = [f"a{longest}", "a10b11", "a10b2", "a10", "a2", "a00", "a0", "a"]
    assert sorted(names, key=natural) == ["a", "a0", "a00", "a2", "a10", "a10b2", "a10b11", f"a{longest}"]
