"""The page of measured figures, and the way to it."""

import re

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
