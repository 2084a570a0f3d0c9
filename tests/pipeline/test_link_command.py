"""keyreid calibrate and keyreid link: what they print and refuse, and warnings that cannot be missed."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stages.reid.search.gallery_folder import writing
from tests.stages.reid.own import made_gallery

WHY = "FAISS is not installed: pip install -r requirements/search.txt"
FEW = ("--neighbours", 4, "--shared", 1)
PERSON = ("p001/c1/0000", "p001/c2/0001")
STRANGER = "p009/c1/0032"


def timed(gallery):
    """Each person at camera 1 and 30 s later at camera 2, and again an hour later."""
    count = len(gallery)
    start = np.arange(count // 4).repeat(4) * 100.0 + np.tile([0, 30, 3600, 3630], count // 4)
    return replace(gallery, start=start, end=start + 1, zone=np.zeros(count))


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """Two galleries of ten persons, of one and of other footage, and travel times."""
    monkeypatch.chdir(tmp_path)
    timed(made_gallery()).save(Path("g.h5"))
    timed(made_gallery(seed=1, dataset="elsewhere")).save(Path("other.h5"))
    Path("travel.yaml").write_text("travel: [{cameras: ['1', '2'], least: 20, greatest: 90}]\naway: 900\n")
    return tmp_path


@pytest.fixture
def link(keyreid, work):
    """keyreid link g.h5 with more words, without a page."""
    return lambda *words, gallery="g.h5": keyreid("link", gallery, "-o", "people", "--no-page", *FEW, *words)


@pytest.fixture
def calibrated(keyreid, work):
    """calibration.json of g.h5, without travel times."""
    assert keyreid("calibrate", "g.h5", "--fpr", 0.1, *FEW, "-o", "calibration.json").code == 0
    return "calibration.json"


def identities() -> dict[str, str]:
    with Path("people/identities.csv").open(newline="") as file:
        return {row["tracklet"]: row["identity"] for row in csv.DictReader(file)}


def only_line(result) -> str:
    """The error, which has to be all that is printed."""
    (line,) = result.err.splitlines()
    assert result.code == 2 and line.startswith("keyreid: error: ") and result.out == ""
    return line


def test_where_persons_are_labelled_scores_are_printed_beside_the_counts(link):
    assert "note: learned from who looks alike: the way between 1 and 2 takes" in link("--threshold", 0.8).err
    result = link("--threshold", 0.8, "--no-ways")
    assert result.code == 0 and result.err == ""
    assert "10 identities (0 seen once) of 40 tracklets from 2 cameras; threshold 0.8 (given)" in result.out
    for row in ("pairs of tracklets", "B-cubed", "IDF1 over cameras"):
        assert " 100.0 " in next(line for line in result.out.splitlines() if row in line)
    assert "10 identities found, 10 persons in truth" in result.out


def test_a_trackers_ids_are_no_truth(link, work):
    made_gallery(labelled=False).save(work / "tracked.h5")
    result = link("--threshold", 0.8, gallery="tracked.h5")
    assert result.code == 0 and "in truth" not in result.out and "identities.csv" in result.out
    assert "note: 40 of 40 tracklets have no time" in result.err


def test_corrections_are_kept_on_the_next_run_and_a_wrong_name_is_one_line(link):
    assert link("--threshold", 0.8).code == 0 and len({identities()[name] for name in PERSON}) == 1
    Path("must.csv").write_text(f"# the same coat\n{PERSON[0]}, {STRANGER}\n")
    Path("cannot.csv").write_text(f"{PERSON[0]}, {PERSON[1]}\n")
    words = ("--threshold", 0.8, "--must-link", "must.csv", "--cannot-link", "cannot.csv")
    assert link(*words).code == 0
    assert identities()[PERSON[0]] == identities()[STRANGER] != identities()[PERSON[1]]
    Path("must.csv").write_text(f"{PERSON[0]}, nobody\n")
    assert "must.csv, line 1: nobody: no tracklet has that name" in only_line(link(*words))


def test_travel_times_need_a_threshold_of_their_own(keyreid, link, calibrated):
    words = ("--calibration", calibrated)
    assert link(*words).code == 0
    line = only_line(link(*words, "--travel", "travel.yaml"))
    assert (
        "not calibrated with travel True" in line and "keyreid calibrate with these (--travel FILE)" in line
    )
    again = keyreid("calibrate", "g.h5", "--fpr", 0.1, *FEW, "--travel", "travel.yaml", "-o", calibrated)
    assert again.code == 0 and "linking, with travel times: threshold" in again.out
    assert link(*words, "--travel", "travel.yaml").code == 0
    record = json.loads(Path("people/link.json").read_text())
    assert record["constraints"]["travel"][0]["greatest"] == 90 and record["scores"]["pairwise_f1"] == 1


def test_a_threshold_of_other_footage_is_named_loudly_by_link_and_search(keyreid, link, calibrated):
    words = ("--calibration", calibrated)
    assert "WARNING" not in link(*words).err
    assert "WARNING: the threshold was measured on other footage (folder, 10 persons" in (
        other := link(*words, gallery="other.h5").err
    )
    assert "data set elsewhere" in other
    notes = json.loads(Path("people/link.json").read_text())["notes"]
    assert notes[0].startswith("WARNING")
    search = ("search", "--query", PERSON[0], "--no-picture", "--threshold", "fpr=0.1", *words)
    assert keyreid(*search, "--gallery", "g.h5").err == ""
    found = keyreid(*search, "--gallery", "other.h5")
    assert found.code == 0 and "WARNING: the threshold was measured on other footage" in found.err


def test_a_rate_below_one_false_positive_is_refused_and_nothing_is_written(keyreid, work):
    line = only_line(keyreid("calibrate", "g.h5", "--fpr", 0.01, "-o", "calibration.json"))
    assert "--fpr 0.01: 40 searches tell no rate below 0.025, one false positive" in line
    assert not Path("calibration.json").exists()


def test_it_is_said_on_how_many_persons_a_threshold_rests_and_on_what_footage(
    keyreid, calibrated, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "200")
    result = keyreid("calibrate", "g.h5", "--fpr", 0.25, *FEW, "-o", calibrated)
    assert "40 searches for 10 persons in 40 tracklets; 95 % intervals by persons" in result.out
    (entry,) = json.loads(Path(calibrated).read_text())["entries"]
    low, high = entry["rates"][0]["false_positive_interval"]
    assert f"25.00% ({low:.2%} to {high:.2%})" in result.out and low < 0.25 < high
    assert entry["footage"] == {"datasets": ["folder"], "roots": ["/data/0"], "cameras": ["1", "2"]}


def test_a_threshold_of_the_other_use_of_cameras_is_refused(keyreid, link, calibrated):
    timed(made_gallery(camera="given")).save(Path("given.h5"))
    line = only_line(link("--calibration", calibrated, gallery="given.h5"))
    assert "calibration.json: has nothing for" in line and "camera given" in line
    words = ("--query", PERSON[0], "--no-picture", "--threshold", "fpr=0.1", "--calibration", calibrated)
    assert "camera given" in only_line(keyreid("search", "--gallery", "given.h5", *words))


@pytest.mark.parametrize("words", [("--index", "flat"), ("--index", "flat", "--index-folder", "kept")])
def test_neighbours_of_a_faiss_index_that_misses_nothing_give_the_same_identities(link, words):
    pytest.importorskip("faiss", reason=WHY)
    assert link("--threshold", 0.8).code == 0
    before = Path("people/identities.csv").read_bytes()
    for _ in range(2):  # made, and read again
        result = link("--threshold", 0.8, *words)
        assert result.code == 0 and "learned" in result.err
        assert Path("people/identities.csv").read_bytes() == before
    assert Path("kept").is_dir() == ("kept" in words)


def test_an_index_that_linking_made_is_not_kept_in_a_gallery_folder(link, work):
    pytest.importorskip("faiss", reason=WHY)
    with writing(work / "days") as writer:
        for first in (0, 20):
            writer.add(timed(made_gallery()).taken(np.arange(first, first + 20)))
    result = link("--threshold", 0.8, "--index", "hnsw", gallery="days")
    assert result.code == 0 and "10 identities" in result.out
    assert not (work / "days/indexes").exists()  # of features without what a camera adds
    line = only_line(link("--threshold", 0.8, "--index", "hnsw", "--index-folder", "kept", gallery="days"))
    assert "days keeps its indexes itself" in line


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--threshold", 2), "--threshold 2: expected a mean distance"),
        (("--threshold", 0.8, "--neighbours", 1), "--neighbours"),
        (("--threshold", 0.8, "--index", "best"), "best"),
        (("--threshold", 0.8, "--travel", "none.yaml"), "none.yaml: missing"),
        (("--threshold", 0.8, "-o", "g.h5"), "g.h5: a file; expected the name of a folder"),
        ((), "no calibration there; run keyreid calibrate"),
    ],
)
def test_what_is_wrong_is_one_line_before_any_work(link, words, says):
    assert says in only_line(link(*words))
    assert not Path("people/identities.csv").exists()


def test_a_gallery_does_not_choose_where_the_calibration_is_written(keyreid, work):
    for there in (False, True):  # a folder of somebody else, without and with a file of that name
        about = made_gallery().about
        checkpoint = work / "elsewhere" / "model.safetensors"
        if there:
            checkpoint.parent.mkdir()
            checkpoint.write_bytes(b"another")
        named = {"path": str(checkpoint), "sha256": about["checkpoint"]["sha256"]}
        replace(made_gallery(), about=about | {"checkpoint": named}).save(Path("foreign.h5"))
        line = only_line(keyreid("calibrate", "foreign.h5", "--fpr", 0.1, *FEW))
        assert str(checkpoint) in line and "--output" in line
    assert [path.name for path in checkpoint.parent.iterdir()] == ["model.safetensors"]
