"""What goes wrong with a file is one line: which file, what is wrong, what was expected, what to do."""

import errno
import json
import os

import pytest

from cache.border import problem, reading, saving
from cache.errors import KeyReIDError


def refused(read) -> str:
    with pytest.raises(KeyReIDError) as error, reading("a.json", "a list of cameras", "write it", "make it"):
        read()
    return str(error.value)


def test_the_reason_is_in_the_words_of_someone_who_has_the_file(tmp_path):
    expected = {
        "a.json: missing; make it": (tmp_path / "none").read_bytes,
        "a.json: cannot be read: Is a directory; name a file, not a folder": tmp_path.read_bytes,
        "a.json: not a list of cameras (no 'name' in it); write it": lambda: {}["name"],
        "a.json: not a list of cameras (line 2: not UTF-8 text); write it": b"a\n\xff".decode,
        "a.json: not a list of cameras (line 1: not valid JSON: Expecting value); write it":
            lambda: json.loads("x"),
        "a.json: not a list of cameras (nested too deep, or holds itself); write it":
            lambda: json.loads("[" * 100_000),
        "a.json: not a list of cameras (TypeError: 'int' object is not iterable); write it":
            lambda: list(5),
        "a.json: 'ascii' codec can't encode character '\\xe9' in position 0: ordinal not in range(128); "
        "choose a locale that has its name (LC_ALL=C.UTF-8)": lambda: "é".encode("ascii"),
        "a.json: not enough memory to read it": lambda: bytearray(2**60),
    }  # fmt: skip
    assert {refused(read): read for read in expected.values()} == expected


def test_an_error_that_names_its_file_already_goes_through():
    with pytest.raises(KeyReIDError, match=r"^b\.csv: empty$"), reading("a.json", "a list"):
        raise KeyReIDError("b.csv: empty")


@pytest.mark.parametrize(
    ("number", "way"),
    [
        (errno.EACCES, "Permission denied; get the right to read it"),
        (errno.EMFILE, "Too many open files; allow more open files (ulimit -n)"),
        (errno.EIO, "Input/output error; write it"),
    ],
)
def test_a_file_that_cannot_be_opened_is_not_called_damaged(number, way):
    def read():
        raise OSError(number, os.strerror(number))

    assert refused(read) == f"a.json: cannot be read: {way}"


def test_control_characters_of_a_file_are_spelled_out():
    assert problem(ValueError("a \x1b[31mred\n\u202e name")) == r"a \x1b[31mred \u202e name"


def test_an_error_of_many_lines_is_one_short_line():
    text = problem(ValueError("first\n  second " + "x" * 1000))
    assert text.startswith("first second xxx") and len(text) == 300


def test_a_full_disk_says_how_much_was_to_be_written(tmp_path):
    expected = r"cannot write .*b\.h5 \(2\.0 MB\): No space left.* free some"
    with pytest.raises(KeyReIDError, match=expected), saving(tmp_path / "b.h5", 2_000_000):
        raise OSError(errno.ENOSPC, "No space left on device")
