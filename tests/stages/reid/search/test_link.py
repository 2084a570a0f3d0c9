"""Linking: identities of galleries, under constraints, with corrections; scores as counted by hand."""

import csv
import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from cache.errors import KeyReIDError
from stages.reid import calibrate, link
from stages.reid.scoring.distances import distance_rows, pair_distances
from stages.reid.search.agglomerate import agglomerate
from stages.reid.search.agreement import agreement, pairwise_curve
from stages.reid.search.config import CalibrationConfig, LinkConfig
from stages.reid.search.constraints import Apart, Travel
from stages.reid.search.link_files import read_travel
from stages.reid.search.ways import ties
from tests.stages.reid.own import made_gallery

CONFIG = LinkConfig(neighbours=4, shared=1)


def timed(gallery, start, length=1.0):
    """The gallery with clock times."""
    start = np.asarray(start, float)
    return replace(gallery, start=start, end=start + length, zone=np.zeros(len(start)))


def apart(start, end, cameras, **ways) -> Apart:
    count = max(cameras) + 1
    none = {"least": np.zeros((count, count)), "greatest": np.full((count, count), np.inf)} | ways
    none.setdefault("away", np.full((count, count), np.inf))
    times = np.array(start, float), np.array(end, float)
    return Apart(*times, np.zeros(len(start), int), np.array(cameras), **none)


def rows_of(folder) -> list[dict]:
    with (folder / "identities.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def saved(tmp_path):
    """A gallery file: ten persons, four tracklets each, in two cameras, a minute apart."""
    return timed(made_gallery(), np.arange(40) * 60.0).save(tmp_path / "g.h5")


def test_persons_are_found_and_written_in_the_order_of_their_first_appearance(saved, tmp_path):
    folder = link.run(CONFIG, [saved], tmp_path / "people", threshold=0.8)
    rows, record = rows_of(folder), json.loads((folder / "link.json").read_text())
    assert [row["identity"] for row in rows] == [str(n // 4 + 1) for n in range(40)]
    assert rows[0]["tracklet"] == "p001/c1/0000" and rows[0]["part"] == str(saved)
    assert rows[1]["start"] == "1970-01-01T00:01:00+00:00" and rows[1]["camera"] == "2"
    assert all(0.5 < float(row["confidence"]) <= 1 for row in rows)
    assert record["counts"] == {"tracklets": 40, "identities": 10, "alone": 0, "cameras": 2}
    assert record["scores"]["pairwise_f1"] == record["scores"]["idf1"] == 1.0
    assert record["threshold"] == {"value": 0.8, "from": "given"}
    (way,) = record["learned_ways"]  # a tracklet a minute, by the two cameras in turn
    assert way["cameras"] == ["1", "2"] and way["least"] < 59 < way["greatest"] and len(record["notes"]) == 1
    assert len(record["nearest"]) == 40 and all(len(near) == CONFIG.shown for near in record["nearest"])
    assert sorted(row for row, _ in record["nearest"][0][:3]) == [1, 2, 3]
    again = link.run(CONFIG, [saved], tmp_path / "again", threshold=0.8)
    for name in ("identities.csv", "link.json"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_who_is_filmed_twice_at_once_by_a_camera_is_two_people_for_whole_identities(tmp_path):
    start = np.arange(40) * 60.0
    start[2] = start[0] + 0.5  # two tracklets of person 1 at once in camera 1
    path = timed(made_gallery(), start).save(tmp_path / "g.h5")
    rows = rows_of(link.run(CONFIG, [path], tmp_path / "people", threshold=1.0))
    of = {row["tracklet"]: row["identity"] for row in rows}
    assert of["p001/c1/0000"] != of["p001/c1/0002"]
    seen: dict = {}
    for row in rows:
        seen.setdefault((row["identity"], row["camera"]), []).append((row["start"], row["end"]))
    for spans in seen.values():
        spans.sort()
        assert all(one[1] < other[0] for one, other in pairwise(spans))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_cluster_breaks_a_constraint_and_the_alike_rest_merges(data):
    count = data.draw(st.integers(2, 14))
    numbers = st.lists(st.integers(0, 12), min_size=count, max_size=count)
    start = np.array(data.draw(numbers), float)
    cameras = [n % 3 for n in data.draw(numbers)]
    ways = {"least": np.full((3, 3), 2.0), "greatest": np.full((3, 3), 6.0)}
    for values, same in ((ways["least"], 0.0), (ways["greatest"], np.inf)):
        np.fill_diagonal(values, same)
    rules = apart(start, start + 1, cameras, **ways)
    values = np.array(data.draw(st.lists(st.integers(0, 9), min_size=count**2, max_size=count**2)))
    square = np.triu(values.reshape(count, count) / 10, 1)
    similarity = sparse.csr_array(square + square.T)
    labels = agglomerate(similarity, rules, 0.3).labels(0.3)
    for name in np.unique(labels):
        own = np.flatnonzero(labels == name)
        assert not rules.matrix(own, own).any() and not rules.late(own)
    for a in np.unique(labels):
        for b in np.unique(labels[labels > a]):
            one, other = np.flatnonzero(labels == a), np.flatnonzero(labels == b)
            free = not rules.matrix(one, other).any() and not rules.late(np.concatenate([one, other]))
            assert not free or similarity[one][:, other].sum() / (len(one) * len(other)) < 0.3 + 1e-9


def test_without_constraints_it_is_average_linkage():
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    rng = np.random.default_rng(0)
    square = np.triu(rng.random((30, 30)), 1)
    similarity = square + square.T
    free = apart(np.full(30, np.nan), np.full(30, np.nan), [0] * 30)
    merges = agglomerate(sparse.csr_array(similarity), free, 1e-6)
    tree = linkage(squareform(1 - similarity, checks=False), "average")
    for least in (0.45, 0.55, 0.65, 0.8):
        found = np.unique(merges.labels(least), return_inverse=True)[1]
        wanted = fcluster(tree, 1 - least, "distance")
        assert len({*zip(found, wanted, strict=True)}) == len({*found}) == len({*wanted})


def test_times_without_a_clock_compare_within_one_data_root_only():
    gallery = made_gallery(4)
    gallery = replace(gallery, start=np.zeros(4), end=np.ones(4), zone=np.full(4, np.nan))
    rules = Apart.of(replace(gallery, part=np.array(list("aabb")), sources={
        "a": gallery.about | {"root": "/a"}, "b": gallery.about | {"root": "/b"}}))  # fmt: skip
    assert not rules.matrix(np.arange(4), np.arange(4)).any()  # rows 0 and 2 are of camera 1, in two roots
    assert Apart.of(gallery).matrix(np.arange(4), np.arange(4)).sum() == 4


def test_a_way_takes_its_time():
    gallery = timed(made_gallery(4), [0, 5, 60, 100])  # cameras 1, 2, 1, 2
    rules = Apart.of(gallery, (Travel(("1", "2"), 20, 50),))
    assert rules.pairs(np.array([0]), np.array([1]))[0]  # four seconds on the way
    assert not rules.pairs(np.array([0]), np.array([3]))[0] and rules.late(np.array([0, 3]))
    assert not rules.late(np.array([0, 2, 3]))  # seen at camera 1 again in between
    back = Apart.of(gallery, (Travel(("1", "2"), 20, 50, away=90),))
    assert not back.late(np.array([0, 3]))  # has left, and come back


def test_a_way_says_nothing_of_other_cameras():
    rows = np.arange(3)
    rules = apart([0, 0, 0], [9, 9, 9], [0, 1, 2], least=np.array([[0, 5, 0], [5, 0, 0], [0, 0, 0]]))
    assert np.argwhere(rules.matrix(rows, rows)).tolist() == [[0, 1], [1, 0]]


def test_a_gallery_too_small_for_its_neighbours_is_said_loudly(tmp_path):
    path = made_gallery(12).save(tmp_path / "g.h5")
    for neighbours, loud in ((3, False), (4, True)):
        config = LinkConfig(neighbours=neighbours, shared=1)
        folder = link.run(config, [path], tmp_path / "people", threshold=0.8)
        notes = json.loads((folder / "link.json").read_text())["notes"]
        assert (
            any(n.startswith("WARNING: 12 tracklets are few") and "at least 16" in n for n in notes) == loud
        )


def test_corrections_are_honoured(saved, tmp_path):
    must, cannot = tmp_path / "must.csv", tmp_path / "cannot.csv"
    must.write_text("# seen by hand\np001/c1/0000, p010/c2/0039\n")
    cannot.write_text(f'"{saved}:p002/c1/0004",p002/c2/0005\n')
    corrections = link.Corrections(must=must, cannot=cannot)
    folder = link.run(CONFIG, [saved], tmp_path / "people", 0.8, corrections=corrections)
    of = {row["tracklet"]: row["identity"] for row in rows_of(folder)}
    assert of["p001/c1/0000"] == of["p010/c2/0039"]
    assert of["p002/c1/0004"] != of["p002/c2/0005"]
    assert json.loads((folder / "link.json").read_text())["constraints"]["must_link"] == 1
    cannot.write_text("p001/c1/0000,p010/c2/0039\n")
    with pytest.raises(KeyReIDError, match=r"p001/c1/0000 and p010/c2/0039 are one person by .*must.csv"):
        link.run(CONFIG, [saved], tmp_path / "people", 0.8, corrections=corrections)


@pytest.mark.parametrize(
    "text, message",
    [
        ("p001/c1/0000\n", "line 1: .*expected names of two"),
        ("# x\np001/c1/0000,nobody\n", "line 2: nobody: no tracklet has that name; names are like p001"),
        ("p001/c1/0000,p001/c1/0000\n", "is listed twice"),
    ],
)
def test_a_wrong_list_is_named_by_its_line(saved, tmp_path, text, message):
    path = tmp_path / "must.csv"
    path.write_text(text)
    with pytest.raises(KeyReIDError, match=message):
        link.run(CONFIG, [saved], tmp_path / "p", 0.8, corrections=link.Corrections(must=path))


@pytest.mark.parametrize(
    "text, message",
    [
        ("travel: []", "travel: .*at least 1"),
        ("travel: [{cameras: ['1', '1']}]", "expected two cameras"),
        ("travel: [{cameras: ['1', '2'], least: 9, greatest: 3}]", "least 9 is above greatest 3"),
        ("travel: [{cameras: ['1', '2']}, {cameras: ['2', '1']}]", "2 and 1 are listed twice"),
        ("travel: [{cameras: ['1', '2'], greatest: 90}]\naway: 60", "away = 60 is below greatest 90"),
        ("travel: [{cameras: ['1', yard]}]", "no tracklet is of camera yard; the gallery has 1, 2"),
        ("- 1", "not a list of travel times"),
    ],
)
def test_a_wrong_file_of_ways_is_named(saved, tmp_path, text, message):
    path = tmp_path / "travel.yaml"
    path.write_text(text)
    with pytest.raises(KeyReIDError, match=message):
        link.run(CONFIG, [saved], tmp_path / "p", 0.8, corrections=link.Corrections(travel=path))


def test_ways_are_read(tmp_path):
    path = tmp_path / "travel.yaml"
    path.write_text("travel:\n  - {cameras: [door, yard], least: 20, greatest: 90}\n")
    assert read_travel(path) == (Travel(("door", "yard"), 20, 90, away=900),)
    path.write_text(path.read_text() + "away: 200\n")
    assert read_travel(path)[0].away == 200


def test_agreement_of_a_hand_case():
    persons = np.array([1, 1, 1, 2, 2, 0, 0, -1])
    found = np.array([1, 1, 2, 2, 2, 3, 3, 3])
    scores = agreement(found, persons)
    assert scores["tracklets"] == 7 and scores["persons"] == 4 and scores["identities"] == 3
    assert scores["pairwise_precision"] == pytest.approx(2 / 5)  # 11 | 12 13 23 | 33
    assert scores["pairwise_recall"] == pytest.approx(2 / 4)
    assert scores["bcubed_precision"] == pytest.approx((2 * 1 + 1 / 3 + 2 * 2 / 3 + 2 * 1 / 2) / 7)
    assert scores["bcubed_recall"] == pytest.approx((2 * 2 / 3 + 1 / 3 + 2 * 1 + 2 * 1) / 7)
    assert scores["idf1"] == pytest.approx((2 + 2 + 1) / 7)


def test_the_curve_of_thresholds_is_what_each_of_them_gives():
    rng = np.random.default_rng(1)
    persons = rng.integers(-1, 5, 40)
    square = np.triu(rng.random((40, 40)) * (rng.random((40, 40)) < 0.3), 1)
    free = apart(np.full(40, np.nan), np.full(40, np.nan), [0] * 40)
    merges = agglomerate(sparse.csr_array(square + square.T), free, 1e-6, must=[(0, 1), (1, 5)])
    levels, scores = pairwise_curve(merges, persons)
    for level, score in list(zip(levels, scores, strict=True))[:: len(levels) // 6]:
        assert score == pytest.approx(agreement(merges.labels(level), persons)["pairwise_f1"])


@pytest.mark.parametrize("distance", ["euclidean", "cosine", "visible"])
def test_distances_of_pairs_are_those_of_the_matrix(distance):
    gallery = made_gallery()
    every = np.arange(40)
    whole = distance_rows(gallery, every, distance)(every)
    pairs = pair_distances(gallery, np.repeat(every, 40), np.tile(every, 40), distance)
    assert np.allclose(whole.ravel(), pairs, atol=1e-3)


def test_what_cannot_be_linked_is_refused_before_any_work(saved, tmp_path):
    with pytest.raises(KeyReIDError, match=r"calibration\.json: no calibration there; run keyreid calibrate"):
        link.run(CONFIG, [saved], tmp_path / "p")
    with pytest.raises(KeyReIDError, match="--threshold 2: expected a mean distance"):
        link.run(CONFIG, [saved], tmp_path / "p", 2)
    with pytest.raises(KeyReIDError, match="a file; expected the name of a folder"):
        link.run(CONFIG, [saved], saved, 0.5)
    assert not (tmp_path / "p").exists()


def test_of_those_who_could_have_come_the_nearest_is_the_one():
    gallery = timed(made_gallery(8), [0, 500, 900, 1300, 1700, 30, 2100, 2500])
    gallery.features[5] = gallery.features[0] + 0.1  # at camera 2 half a minute after row 0 was at camera 1
    gallery.features[3] = gallery.features[0] + 0.5
    gallery.start[3], gallery.end[3] = 35, 36
    rules = Apart.of(gallery, (Travel(("1", "2"), 20, 90),))
    shares = ties(gallery, rules, "euclidean", usual=8.0).toarray()
    assert 0.7 < shares[0, 5] == shares[5, 0] <= 1 and 0 < shares[0, 3] < 0.3
    assert np.flatnonzero(shares[0]).tolist() == [3, 5]
    later = replace(gallery, start=gallery.start + 1000 * (np.arange(8) == 5), end=gallery.end + 1000)
    assert ties(later, Apart.of(later), "euclidean", 8.0).nnz == 0  # no greatest time, no candidates


def test_linking_is_calibrated_with_and_without_ways_and_travel_times(tmp_path):
    start = np.arange(10).repeat(4) * 100.0 + np.tile([0, 30, 2000, 2030], 10)
    path = timed(made_gallery(), start).save(tmp_path / "g.h5")
    travel = tmp_path / "travel.yaml"
    travel.write_text("travel: [{cameras: ['1', '2'], least: 20, greatest: 90}]\naway: 900")
    measuring = CalibrationConfig(rates=(0.1,), neighbours=4, shared=1)
    file, entry = calibrate.run(measuring, [path], tmp_path / "c.json", travel)
    assert [(m["travel"], m["learned"]) for m in entry["link"]] == [
        (False, False),
        (False, True),
        (True, False),
    ]
    plain = CONFIG.model_copy(update={"no_ways": True})
    cases = ((plain, None), (CONFIG, None), (CONFIG, travel))
    for (config, ways), measured in zip(cases, entry["link"], strict=True):
        folder = link.run(config, [path], tmp_path / "p", None, file, link.Corrections(travel=ways))
        record = json.loads((folder / "link.json").read_text())
        assert bool(record["learned_ways"]) == measured["learned"]
        assert record["threshold"] == {"value": measured["threshold"], "from": str(file)}
        expected = ["learned from who looks alike: the way between 1 and 2 takes"] * measured["learned"]
        assert [note.split(" takes ")[0] + " takes" for note in record["notes"]] == expected
        assert record["scores"]["pairwise_f1"] == 1.0
    earlier = tmp_path / "earlier.json"
    earlier.write_text(file.read_text().replace('"learned": true', '"learned": false'))
    record = json.loads((link.run(CONFIG, [path], tmp_path / "p", None, earlier) / "link.json").read_text())
    assert record["learned_ways"] == [] and record["settings"]["no_ways"] is False
    assert record["notes"][0].startswith("ways between cameras are not learned: the calibration has no")
    with pytest.raises(KeyReIDError, match="was not calibrated with travel False, neighbours 5, shared 1"):
        link.run(LinkConfig(neighbours=5, shared=1), [path], tmp_path / "p", None, file)
