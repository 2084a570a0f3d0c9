"""When tracklets were filmed: what is written is read, and what is wrong is named."""

import math
from datetime import datetime

import pytest

from cache.errors import KeyReIDError
from stages.datasets.times import Span, moment, read_times, time_text, write_times, written, zone_of

START = datetime.fromisoformat("2026-11-26T08:00:00+01:00")


def test_a_clock_time_keeps_its_offset_and_seconds_stay_seconds():
    assert written(START, 61.5) == "2026-11-26T08:01:01.500+01:00"
    assert written(None, 61.5) == "61.500"


def test_moments_of_two_time_zones_compare_as_moments():
    assert moment("2026-11-26T08:00:00+01:00") == moment("2026-11-26T07:00:00+00:00")
    assert moment("61.5") == (False, 61.5)


def test_moments_in_words_keep_the_zone_they_were_given_in():
    for text in ("2026-11-26T08:00:00+01:00", "2026-11-26T08:00:00-03:30"):
        assert time_text(moment(text)[1], zone_of(text)) == text
    assert time_text(61.54, zone_of("61.54")) == "61.5 s" and time_text(math.nan, math.nan) == ""


def test_all_tables_of_a_root_are_read(tmp_path):
    write_times(tmp_path / "a.times.tsv", [("p/a/1-9", "a", 1, 9, "0.000", "0.800")])
    write_times(tmp_path / "times.tsv", [("p/b/1-9", "b", 1, 9, written(START, 0), written(START, 1))])
    spans = read_times(tmp_path)
    assert spans["p/a/1-9"] == Span("0.000", "0.800", 1, 9) and spans["p/b/1-9"].start.endswith("+01:00")


@pytest.mark.parametrize(
    "start, end",
    [
        ("2026-11-26T08:00:00", "2026-11-26T08:00:01"),
        ("nan", "1"),
        ("noon", "1"),
        ("2.0", "1.0"),
        ("1.0", "2026-11-26T08:00:00+01:00"),
        ("0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00+01:00"),
    ],
)
def test_a_wrong_time_is_named_with_its_line(tmp_path, start, end):
    write_times(tmp_path / "times.tsv", [("p/a/1-9", "a", 1, 9, start, end)])
    with pytest.raises(KeyReIDError, match=r"times\.tsv, line 2: .*expected the columns"):
        read_times(tmp_path)
