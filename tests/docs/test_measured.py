"""The page of measured figures, the way to it, and the figure of the ablation."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs/measured.md").read_text(encoding="utf-8")


def test_every_kind_of_benchmark_has_its_section():
    assert re.findall(r"^## (.+)$", PAGE, re.MULTILINE) == [
        "Stage one",
        "Pose cache",
        "Network",
        "Reading for training",
        "Scoring",
        "Search",
        "Linking",
        "Tracking",
        "Export",
    ]


def test_the_page_of_benchmarks_leads_to_what_was_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs/tools"))
    from benchmarks_page import HEAD

    assert "(measured.md)" in HEAD and "README" not in HEAD


def test_it_stands_after_the_benchmarks():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    nav = yaml.safe_load(text[text.index("\nnav:") :])["nav"]
    pages = next(entry["Operation"] for entry in nav if "Operation" in entry)
    assert pages[pages.index({"Benchmarks": "benchmarks.md"}) + 1] == {"Measured": "measured.md"}


def test_the_figure_of_the_ablation_is_drawn_from_its_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.syspath_prepend(str(ROOT / "docs/tools"))
    from figures import ABLATION, draw_ablation

    assert ABLATION.parent == ROOT / "docs"
    assert draw_ablation(tmp_path / "ablation.json", tmp_path) == []
    scores = {part: {"mAP": 0.5, "rank1": 0.6, "num_valid": 9} for part in ("all", "clean", "occluded")}
    results = [{"variant": v, "seed": s, "scores": scores, "seconds": 9.0} for v in "ab" for s in (1, 2)]
    (tmp_path / "ablation.json").write_text(json.dumps({"table": {}, "results": results}))
    (picture,) = draw_ablation(tmp_path / "ablation.json", tmp_path)
    assert picture.name == "ablation.png" and picture.read_bytes().startswith(b"\x89PNG")
