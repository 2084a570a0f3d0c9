"""`keyreid demo --videos`: from two videos to the page of who was where, and on from there."""

import csv
import json
from pathlib import Path

import pytest

from pipeline.commands import demo
from stages.extras import Extra
from tests.pipeline.conftest import TINY_SET

WHY = "needs pip install --no-deps -r requirements/track.txt"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_from_two_videos_to_who_was_where(keyreid, tmp_path, monkeypatch):
    pytest.importorskip("trackers", reason=WHY)
    pytest.importorskip("onnxruntime", reason=WHY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "QUICK", ("--identities", "8", "--num-cameras", "2", "--tracklets", "2"))
    monkeypatch.setattr(demo, "STREET", ("--persons", "4"))
    words = ("demo", "--videos", "--device", "cpu", *TINY_SET)
    made = keyreid(*words)
    assert made.code == 0, made.err
    assert "WARNING: the threshold was measured on other footage" in made.err
    people = Path("cameras-demo/people")
    with (people / "identities.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["camera"] for row in rows} == {"door", "yard"} and len(rows) >= 4
    assert all(row["start"].startswith("2026-11-26T08:0") for row in rows)
    record = json.loads((people / "link.json").read_text())
    (way,) = record["constraints"]["travel"]
    assert way["cameras"] == ["door", "yard"] and way["least"] <= 60 <= way["greatest"]
    assert (people / "site/index.html").is_file()
    again = keyreid(*words)
    assert again.code == 0 and "a quick training" not in again.out
    gallery = "cameras-demo/gallery"
    for more in ((), ("--travel", "cameras-demo/street/travel.yaml")):  # as in the guide
        linked = keyreid("link", gallery, *more, "-o", "mine", "--no-page")
        assert linked.code == 0, linked.err
    browsed = keyreid("browse", people, "--frames", 4)
    assert browsed.code == 0, browsed.err


@pytest.mark.parametrize("travel", [True, False])
def test_a_street_of_an_earlier_version_is_linked_without_travel_times(tmp_path, monkeypatch, capsys, travel):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "FOLDER", tmp_path)
    for name in ("street/cameras.yaml", "runs/walkers/a/model.safetensors", *["street/travel.yaml"] * travel):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    steps = list(demo._from_videos(tmp_path / "data", tmp_path / "poses", tmp_path / "runs", [], []))
    (linking,) = [words for _, *words in steps if words[0] == "link"]
    assert ("--travel" in linking) == travel == ("of an earlier version" not in capsys.readouterr().err)


@pytest.mark.parametrize("more", [(), ("--device", "abacus"), ("--set", "train.epoch=1")])
def test_what_is_missing_or_wrong_is_said_before_any_work(keyreid, tmp_path, monkeypatch, more):
    monkeypatch.chdir(tmp_path)
    modules = ("numpy",) if more else ("no_such_package",)
    monkeypatch.setattr(demo, "TRACKING", Extra("tracking", modules, "-r requirements/track.txt"))
    refused = keyreid("demo", "--videos", *more)
    assert refused.code == 2 and not list(tmp_path.iterdir())
    assert (more[-1].split("=")[0] if more else "no_such_package") in refused.err


@pytest.mark.parametrize("option", ["--data-root", "--cache", "--runs"])
def test_a_folder_that_cannot_be_written_is_said_before_any_work(keyreid, tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    result = keyreid("demo", option, "file/x")
    assert (
        result.code == 2
        and "there is a file of that name" in result.err
        and not Path("data/walkers").exists()
    )
    assert result.out == ""
