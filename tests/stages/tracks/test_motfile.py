"""Track files: what is read, what is left out, what is refused and by which line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.errors import KeyReIDError
from stages.tracks import CutConfig
from stages.tracks.motfile import read_boxes


def read(tmp_path, text, **options):
    path = tmp_path / "tracks.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_boxes(path, CutConfig(camera="a", **options))


def test_reads_a_trackers_rows(tmp_path):
    boxes = read(tmp_path, "1,7,10.4,20.6,30,40,0.9,-1,-1,-1\r\n\r\n2, 7, -5, 0, 30, 40\n3 7 1 1 2 2\n")
    assert boxes.frame.tolist() == [1, 2, 3] and boxes.track.tolist() == [7, 7, 7]
    assert boxes.box[:2].tolist() == [[10, 21, 40, 61], [-5, 0, 25, 40]]
    assert boxes.line.tolist() == [1, 3, 4]


def test_reads_ground_truth_and_leaves_out_rows_flagged_to_be_ignored(tmp_path):
    boxes = read(tmp_path, "1,1,0,0,9,9,1,1,0.5\n1,2,0,0,9,9,0,1,0.5\n1,3,0,0,9,9,0,-1,-1,-1\n")
    assert boxes.track.tolist() == [1, 3]  # a tracker's confidence of 0 is not a flag
    assert sum(boxes.left_out.values()) == 1


def test_filters_by_confidence_class_and_last_frame(tmp_path):
    rows = "1,1,0,0,9,9,0.2,1\n1,2,0,0,9,9,0.9,2\n1,3,0,0,9,9,0.9,1\n9,3,0,0,9,9,0.9,1\n"
    boxes = read(tmp_path, rows, min_confidence=0.5, classes=(1,), last_frame=8)
    assert boxes.track.tolist() == [3] and boxes.frame.tolist() == [1]
    assert sum(boxes.left_out.values()) == 3


def test_detections_without_a_track_are_counted_and_alone_are_refused(tmp_path):
    assert sum(read(tmp_path, "1,-1,0,0,9,9,1\n1,4,0,0,9,9,1\n").left_out.values()) == 1
    with pytest.raises(KeyReIDError, match=r"no box can be used.*no tracker linked"):
        read(tmp_path, "1,-1,0,0,9,9,1\n")


@pytest.mark.parametrize(
    "line",
    [
        "1,2,3",
        "frame,id,left,top,width,height",
        "1,2,left,0,9,9",
        "nan,2,0,0,9,9",
        "1.5,2,0,0,9,9",
        "0,2,0,0,9,9",
        "-3,2,0,0,9,9",
        "4294967296,2,0,0,9,9",
        "1,99999999999999999999999999,0,0,9,9",
        "1,1e400,0,0,9,9",
        "1,2.5,0,0,9,9",
        "1,2,0,0,1_0,9",
        "1,2,0,0,9,",
        "1,2,3,4,5,6,7,8,9,10,11",
        "\0\0\0\0",
        "1,2,0,0,9,9," + "9" * 5000,
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path, line):
    with pytest.raises(KeyReIDError, match=r"tracks\.txt, line 2\b") as caught:
        read(tmp_path, "1,1,0,0,9,9\n" + line + "\n")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "line, reason",
    [
        ("1,2,nan,0,9,9", "finite"),
        ("1,2,0,inf,9,9", "finite"),
        ("1,2,0,0,9,9,nan", "finite"),
        ("1,2,0,0,-9,9", "no width or height"),
        ("1,2,0,0,9,0", "no width or height"),
        ("1,2,1e300,0,9,9", "beyond any picture"),
    ],
)
def test_a_row_that_has_no_box_is_left_out_and_counted_or_stops_a_strict_import(tmp_path, line, reason):
    rows = f"1,1,0,0,9,9\n{line}\n{line}\n3,1,0,0,9,9\n"
    boxes = read(tmp_path, rows)
    assert boxes.frame.tolist() == [1, 3]
    assert [(reason in why, count) for why, count in boxes.left_out.items()] == [(True, 2)]
    with pytest.raises(KeyReIDError, match=rf"tracks\.txt, line 2 .*{reason}.*--strict"):
        read(tmp_path, rows, strict=True)


def test_a_second_box_of_a_track_in_a_frame_names_both_lines(tmp_path):
    with pytest.raises(KeyReIDError, match=r"line 3: track 5 .* frame 1, the first is in line 1"):
        read(tmp_path, "1,5,0,0,9,9\n2,5,0,0,9,9\n1,5,1,1,9,9\n")


@pytest.mark.parametrize("filters", [{"classes": (1,)}, {"min_confidence": 0.5}])
def test_a_filter_needs_its_column(tmp_path, filters):
    with pytest.raises(KeyReIDError, match=r"line 1.*column"):
        read(tmp_path, "1,5,0,0,9,9\n", **filters)


def test_huge_ids_are_kept_exactly(tmp_path):
    assert read(tmp_path, f"1,{2**53},0,0,9,9\n").track.tolist() == [2**53]


_values = st.one_of(
    st.integers(-5, 2**70).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(str),
    st.text(max_size=5),
)
_lines = st.lists(st.lists(_values, max_size=11).map(",".join), max_size=5).map("\n".join)


@settings(max_examples=300, deadline=None)
@given(st.one_of(_lines.map(lambda t: t.encode("utf-8", "surrogatepass")), st.binary(max_size=300)))
def test_any_bytes_are_read_or_refused_with_one_line(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzz.txt"
    path.write_bytes(data)
    try:
        boxes = read_boxes(path, CutConfig(camera="a"))
    except KeyReIDError as error:
        assert "fuzz.txt" in str(error) and "\n" not in str(error)
    else:
        assert len(boxes.frame) and (boxes.box[:, 2:] >= boxes.box[:, :2]).all()
        assert (np.asarray(boxes.frame) >= 1).all()
