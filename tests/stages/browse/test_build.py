"""The page holds what was linked, needs nothing but its folder, and is not fooled by names."""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.made.people import link_made, made_gallery, timed
from cache.errors import KeyReIDError
from stages.browse import build
from stages.browse.config import BrowseConfig
from stages.browse.people import read_people
from stages.browse.site import MARK
from stages.datasets.times import Span
from stages.datasets.tracklet import Tracklet
from stages.reid import link
from stages.reid.search.config import LinkConfig
from tests.stages.browse.conftest import CONFIG, Linked

BAD = "\"><script>boom()</script><!--</script><img src=x onerror=boom()>\u202e'&"


def data_of(page: Path) -> dict:
    """What the script of a page gets."""
    html = page.read_text(encoding="utf-8")
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return json.loads(text)


def test_every_tracklet_is_shown_once_with_what_is_known_of_it(linked: Linked):
    data = data_of(linked.page)
    gallery = linked.gallery
    assert sorted(item["n"] for item in data["items"]) == sorted(gallery.names)
    shown = sorted(entry["i"] for row in data["rows"] for entry in row["entries"])
    assert shown == list(range(len(gallery)))
    rows = {name: row for row, name in enumerate(gallery.names.tolist())}
    for item in data["items"]:
        row = rows[item["n"]]
        assert data["cameras"][item["c"]] == gallery.camera_names[row]
        assert item["s"] == pytest.approx(gallery.start[row]) and item["z"] == 60
        assert item["f"] == f"{gallery.first[row]} to {gallery.last[row]}" and 0 <= item["q"] <= 1
        nearest = np.linalg.norm(gallery.features - gallery.features[row], axis=1)
        assert [d for _, d in item["near"]] == pytest.approx(np.sort(nearest)[1:6], abs=1e-3)
    persons = [
        {gallery.persons[rows[data["items"][e["i"]]["n"]]] for e in r["entries"]} for r in data["rows"]
    ]
    assert all(len(found) == 1 for found in persons) and len(persons) == len(np.unique(gallery.persons))


def test_pictures_are_the_frames_and_the_part_maps(linked: Linked, walkers):
    dataset, _ = walkers
    data = data_of(linked.page)
    frames = {t.name: t.frames for t in dataset.test_tracklets()}
    for item in data["items"]:
        sheet = cv2.imread(str(linked.page.parent / item["h"]))
        assert sheet.shape == (160, item["w"] * (item["k"] + item["m"]), 3)
        assert (item["k"], item["m"], item["g"]) == (3, 6, len(frames[item["n"]]))
        assert cv2.imread(str(linked.page.parent / item["t"])).shape == (128, 64, 3)
        first = cv2.imread(str(dataset.root / frames[item["n"]][0]))
        small = cv2.resize(first, (80, 160), interpolation=cv2.INTER_AREA)
        assert np.abs(sheet[:, :80].astype(int) - small).mean() < 6
    assert data["parts"] == ["head", "torso", "left arm", "right arm", "left leg", "right leg"]


def test_the_page_asks_for_nothing_outside_its_folder(linked: Linked):
    html = unescape(linked.page.read_text(encoding="utf-8"))
    assert "default-src 'none'" in html and "http" not in html.replace("http-equiv", "")
    assert not re.findall(r"\son[a-z]+=", html.split("<script")[0])
    assert "Pictures of people" in html and "retention" in html


def test_a_page_that_is_written_again_makes_only_what_is_new(own: Linked):
    media = own.page.parent / "media"
    build.run(CONFIG, own.folder)
    before = {path.name: path.stat().st_mtime_ns for path in media.iterdir()}
    (media / "left.jpg").write_bytes(b"of an earlier page")
    (media / next(iter(before))).unlink()
    build.run(CONFIG, own.folder)
    after = {path.name: path.stat().st_mtime_ns for path in media.iterdir()}
    assert after.keys() == before.keys() and sum(after[name] != before[name] for name in before) <= 2
    build.run(CONFIG.model_copy(update={"parts": 0}), own.folder)
    assert data_of(own.page)["items"][0]["m"] == 0 and len(list(media.iterdir())) == len(before)


def test_a_folder_with_other_contents_is_not_replaced(own: Linked, tmp_path: Path):
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "index.html").write_text("mine")
    with pytest.raises(KeyReIDError, match="not a page of this program"):
        build.run(CONFIG, own.folder, other)
    assert (other / "index.html").read_text() == "mine" and MARK not in [
        path.name for path in other.iterdir()
    ]
    link = tmp_path / "link"
    link.symlink_to(other)
    with pytest.raises(KeyReIDError, match="is not a folder"):
        build.run(CONFIG, own.folder, link)


def hostile(folder: Path, walkers, name: str) -> Path:
    """The page about walkers with that in the name of every tracklet."""
    dataset, poses = walkers
    tracklets = [replace(t, name=f"{t.name}{name}") for t in timed(dataset.test_tracklets())[:4]]
    gallery = made_gallery(folder / f"day{BAD[:2]}.h5", dataset.root, tracklets, "walkers", poses)
    return build.run(CONFIG, link_made(folder / "people", folder / f"day{BAD[:2]}.h5", gallery))


def test_names_are_text_whatever_they_say(walkers, tmp_path: Path):
    page = hostile(tmp_path, walkers, BAD)
    html = page.read_text(encoding="utf-8")
    assert html.count("<script") == 2 and "<img" not in html and "\u202e" not in html
    assert all(item["n"].endswith(BAD.replace("\u202e", "\ufffd")) for item in data_of(page)["items"])


@pytest.mark.parametrize("frame", ["../../secret.jpg", "/etc/secret.jpg", "a/\0.jpg"])
def test_frames_outside_of_the_data_root_are_refused(linked: Linked, tmp_path: Path, frame: str):
    frames = ((frame,), *linked.gallery.frames[1:])
    bad = replace(linked.gallery, frames=frames, part=None, sources={})
    with pytest.raises(KeyReIDError, match="not inside its data root"):
        build.Footage().shown(bad, [0])


def test_tracklets_whose_footage_is_gone_are_shown_without_pictures(walkers, tmp_path: Path):
    dataset, _ = walkers
    tracklets = timed(dataset.test_tracklets())[:3]
    gallery = made_gallery(tmp_path / "day.h5", tmp_path / "gone", tracklets, "walkers")
    page = build.run(CONFIG, link_made(tmp_path / "people", tmp_path / "day.h5", gallery))
    data = data_of(page)
    assert all(not item["h"] and "cannot be read" in item["x"] for item in data["items"])
    assert "3 of 3 tracklets are shown without pictures" in page.read_text()


def test_seconds_of_a_video_have_no_place_among_clock_times(walkers, tmp_path: Path):
    dataset, _ = walkers
    clock, seconds, unknown = timed(dataset.test_tracklets())[:3]
    seconds, unknown = replace(seconds, span=Span("3.5", "7.25", 35, 72)), replace(unknown, span=None)
    for tracklets, expected in (
        ([clock, seconds, unknown], [False, True, True]),
        ([seconds, unknown], [False, True]),
    ):
        gallery = made_gallery(tmp_path / "day.h5", dataset.root, tracklets, "walkers")
        data = data_of(build.run(CONFIG, link_made(tmp_path / "people", tmp_path / "day.h5", gallery)))
        items = {item["n"]: item for item in data["items"]}
        assert [items[t.name]["s"] is None for t in tracklets] == expected
        assert data["clock"] == (len(tracklets) == 3)
    assert items[seconds.name]["f"] == "35 to 72" and items[unknown.name]["f"] == ""


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("identities.csv", lambda text: text.replace("confidence", "sure"), "line 1: no column 'confidence'"),
        ("identities.csv", lambda text: re.sub(r"0\.\d+\n", "7\n", text, count=1), "line 2: confidence 7.0"),
        ("identities.csv", lambda text: text.splitlines()[0], "no tracklet in it"),
        (
            "identities.csv",
            lambda text: text + text.splitlines()[1] + "\n",
            "made for another identities.csv",
        ),
        ("link.json", lambda text: text[:-9], "not what keyreid link writes"),
        ("link.json", lambda text: text.replace('"schema": 1', '"schema": 9'), "schema 9, expected 1"),
        ("link.json", lambda text: re.sub(r"\[\[\d+,", "[[99999,", text, count=1), "nearest: not rows"),
    ],
)
def test_damaged_identities_are_named(own: Linked, name: str, change, message: str):
    path = own.folder / name
    path.write_text(change(path.read_text()))
    with pytest.raises(KeyReIDError, match=re.escape(message)) as error:
        build.run(CONFIG, own.folder)
    assert str(own.folder) in str(error.value)


def test_a_gallery_may_have_a_name_that_is_not_utf8(walkers, tmp_path: Path):
    dataset, _ = walkers
    file = tmp_path / "day-\udcff.h5"
    gallery = made_gallery(file, dataset.root, timed(dataset.test_tracklets())[:2], "walkers")
    page = build.run(CONFIG, link_made(tmp_path / "people", file, gallery))
    assert len(data_of(page)["items"]) == 2


def test_identities_have_a_limit_of_their_own(own: Linked, monkeypatch):
    table, record = (own.folder / "identities.csv").stat().st_size, own.folder / "link.json"
    record.write_text(record.read_text() + " " * table)  # JSON as before, but longer than the table
    for limit, name in ((table - 1, "identities.csv"), (table, "link.json")):
        monkeypatch.setattr("stages.browse.people.MOST", limit)
        with pytest.raises(KeyReIDError, match=rf"{name}: .* MB, more than"):
            read_people(own.folder)


def test_what_is_not_there_is_named_with_the_way_to_get_it(own: Linked, tmp_path: Path):
    with pytest.raises(KeyReIDError, match="keyreid link GALLERY -o"):
        build.run(BrowseConfig(), tmp_path)
    made_gallery(tmp_path / "other.h5", tmp_path, [Tracklet(("1.jpg",), 1, None, "other")], "folder")
    with pytest.raises(KeyReIDError, match="is not in the gallery"):
        build.run(BrowseConfig(), own.folder, galleries=[tmp_path / "other.h5"])


def test_linking_ends_with_the_page(linked: Linked, tmp_path: Path):
    file = linked.folder.parent / "day.h5"
    folder = link.run(LinkConfig(neighbours=4), [file], tmp_path / "people", threshold=0.9, page=CONFIG)
    rows = data_of(folder / "site/index.html")["rows"]
    record = json.loads((folder / "link.json").read_text())
    assert len(rows) == record["counts"]["identities"]
    plain = link.run(LinkConfig(neighbours=4), [file], tmp_path / "plain", threshold=0.9)
    assert not (plain / "site").exists()
    (plain / "site").mkdir()
    (plain / "site/mine.txt").write_text("mine")
    with pytest.raises(KeyReIDError, match="not a page of this program"):
        link.run(LinkConfig(neighbours=4), [file], plain, threshold=0.9, page=CONFIG)
