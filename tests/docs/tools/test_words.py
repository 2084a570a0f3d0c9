"""The check of words and line lengths that `make lint` runs."""

import pytest

from docs.tools.words import INSTEAD, LONGEST, long_lines, problems


@pytest.mark.parametrize(
    "line",
    [
        "x.txt is no image; expected a JPEG",
        "a cache made anew",
        "poses that were made elsewhere",
        "the run goes on from there",
        "at most so many clips",
        "killed, perhaps for want of memory",
        "Nothing is overwritten in silence.",
    ],
)
def test_phrases_to_avoid_are_found_with_their_line_and_a_replacement(line):
    (found,) = problems(f"first line\n{line}\n")
    assert found[0] == 2 and found[1] in line and found[2] in INSTEAD.values()


def test_plain_sentences_pass():
    assert problems("There is no GPU. It is no longer needed, and takes at most this many clips.") == []


def test_long_lines_of_documents_are_found_outside_of_code_and_tables():
    long = "x" * (LONGEST + 1)
    assert long_lines(f"{long}\n| {long} |\n```bash\n{long}\n```\n{long[1:]}\n- {long}") == [1, 7]
