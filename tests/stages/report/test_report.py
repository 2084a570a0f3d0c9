"""The page holds what the run's files hold, needs nothing else, and is not fooled by names."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.reid.scoring.embeddings import TestSet
from stages.report import build
from stages.report.cards import Source
from stages.report.config import ReportConfig
from stages.report.contents import read_contents
from tests.stages.report.conftest import Evaluated, make_run

BAD = "\"><script>boom()</script><img src=x onerror=boom()>\u202e\x07'&"


class Parsed(HTMLParser):
    """Tags with their attributes, and the text outside style and script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text, self.inside = "", ""
        self.code: dict[str, str] = {}
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside in ("style", "script"):
            self.code[self.inside] = self.code.get(self.inside, "") + data
        else:
            self.text += data

    def all(self, name: str) -> list[dict]:
        return [attrs for tag, attrs in self.tags if tag == name]


@pytest.fixture(scope="module")
def parsed(evaluated: Evaluated) -> Parsed:
    return Parsed(evaluated.report.read_text(encoding="utf-8"))


def test_frames_that_were_not_evaluated_are_not_shown(own_run: Evaluated, parsed: Parsed):
    path = own_run.run / "eval/metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"clip_cap": 1}))
    capped = Parsed(build.run(own_run.run, own_run.source).read_text(encoding="utf-8"))
    counts = [
        {
            int(found[1])
            for image in page.all("img")
            if (found := re.search(r"^Query, .* of (\d+)", image["alt"]))
        }
        for page in (parsed, capped)
    ]
    assert counts == [{4, 5, 6}, {4}]  # clips of 4 frames


def test_scores_of_every_protocol_are_shown(evaluated: Evaluated, parsed: Parsed):
    scores = json.loads((evaluated.run / "eval/metrics.json").read_text())
    for name, found in scores["protocols"].items():
        assert name in parsed.text
        for key in ("mAP", "rank1", "rank5", "rank10", "mINP"):
            assert f"{100 * found[key]:.2f}" in parsed.text
    assert scores["line"] in parsed.text and "95 % intervals" in parsed.text


def test_every_section_of_the_report_is_there(parsed: Parsed):
    ids = {attrs.get("id") for _, attrs in parsed.tags}
    assert {"scores", "training", "spread", "failures", "queries", "config"} <= ids
    for words in ("Cumulative match", "Distances of matches", "By camera pair", "By occlusion of the query"):
        assert words in parsed.text
    for words in ("Best queries", "Worst queries", "train.loss.margin", "2.13.0", "Learning rate"):
        assert words in parsed.text
    assert "mAP on held-out identities" in parsed.text and "from the record of the data set" in parsed.text


def test_the_file_needs_nothing_but_itself(evaluated: Evaluated, parsed: Parsed):
    for tag, attrs in parsed.tags:
        assert "style" not in attrs and not any(name.startswith("on") for name in attrs)
        for link in ("src", "href", "srcset", "action"):
            assert attrs.get(link, "#").startswith(("#", "data:")), (tag, attrs)
    assert "url(" not in parsed.code["style"] and "@import" not in parsed.code["style"]
    policy = next(a["content"] for a in parsed.all("meta") if a.get("http-equiv"))
    for code in parsed.code.values():
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_pictures_are_frames_and_say_what_they_show(evaluated: Evaluated, parsed: Parsed):
    pictures = parsed.all("img")
    queries = len(evaluated.dataset.query)
    assert len(pictures) > 15 * min(queries, 16)
    for attrs in pictures:
        kind, data = attrs["src"].split(",", 1)
        assert kind == "data:image/jpeg;base64" and attrs["alt"].strip()
        decoded = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None and decoded.shape == (128, 64, 3)
    alts = " ".join(attrs["alt"] for attrs in pictures)
    for words in ("attention", "Rank 1, ", "Heat of left arm", "Attention of head", "percent of the clip's"):
        assert words in alts
    assert evaluated.report.stat().st_size < 200_000 * queries


def test_ranking_lists_are_those_of_the_evaluation(evaluated: Evaluated, parsed: Parsed):
    lists = json.loads((evaluated.run / "eval/ranking.json").read_text())
    shown = [a for a in parsed.all("img") if a["alt"].startswith("Rank ")]
    expected = sum(len(found["matches"][:10]) for found in lists)  # few queries: all of them are shown
    assert len(shown) == expected
    right = sum(m["right"] for found in lists for m in found["matches"][:10])
    assert sum(", right:" in a["alt"] for a in shown) == right


def test_charts_have_a_text_alternative(parsed: Parsed):
    drawings = [a for a in parsed.all("svg") if a.get("aria-hidden") != "true"]
    assert len(drawings) >= 6 and all(a["role"] == "img" and a["aria-label"] for a in drawings)


def test_names_are_text_whatever_they_say(walkers, tmp_path: Path):
    dataset, cache = walkers

    def renamed(tracklets):
        return tuple(replace(t, name=t.name + BAD) for t in tracklets)

    hostile = replace(
        dataset, name=f"walkers{BAD}", query=renamed(dataset.query), gallery=renamed(dataset.gallery)
    )
    run = make_run(tmp_path / "<script>boom()<", hostile, cache)
    (run / "config.yaml").write_text(f"name: {json.dumps(BAD)}\n? {json.dumps(BAD)}\n: 1\n")
    html = build.run(run, Source(hostile, cache)).read_text(encoding="utf-8")
    parsed = Parsed(html)
    assert len(parsed.all("script")) == 1 and "boom" not in parsed.code["script"]
    assert all("onerror" not in attrs for _, attrs in parsed.tags)
    assert "<script>boom()</script>" in parsed.text
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", html)


def test_without_pictures_neither_data_nor_weights_are_needed(own_run: Evaluated):
    (own_run.run / "model.safetensors").unlink()
    parsed = Parsed(build.run(own_run.run, None).read_text())
    assert not parsed.all("img") and "Made without pictures" in parsed.text
    assert "estimated: mean over parts of the highest heat" in parsed.text
    assert "Worst queries" in parsed.text


def test_a_run_without_curves_or_config_says_so(own_run: Evaluated):
    for name in ("metrics.jsonl", "config.yaml", "environment.json"):
        (own_run.run / name).unlink()
    parsed = Parsed(build.run(own_run.run, None).read_text())
    assert "Config: not recorded in this run." in parsed.text
    assert "training" not in {attrs.get("id") for _, attrs in parsed.tags}


@pytest.mark.parametrize("model", ["{parts: 3}", "{width: 2}"], ids=["other parts", "no parts"])
def test_parts_that_the_config_does_not_name_are_numbered(own_run: Evaluated, model: str):
    (own_run.run / "config.yaml").write_text(f"model: {model}\n")
    assert read_contents(own_run.run).part_names == ()
    assert "Worst queries" in Parsed(build.run(own_run.run, None).read_text()).text


def test_baselines_stand_beside_the_trained_network(own_run: Evaluated):
    from stages.report.contents import BASELINES, keep_baselines

    scores = json.loads((own_run.run / "eval/metrics.json").read_text())
    figures = scores["protocols"][scores["headline"]] | {"mAP": 0.12345}
    keep_baselines(own_run.run / "eval", {"colour histograms": figures})
    assert "12.35" in build.run(own_run.run, None).read_text()
    (own_run.run / "eval" / BASELINES).unlink()
    assert "12.35" not in build.run(own_run.run, None).read_text()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"global_only": True}, "no local branch"),
        ({"local_only": True}, "The query"),
        ({"tcss": "sequence"}, "tcss"),
    ],
)
def test_networks_without_a_branch_are_reported_too(walkers, tmp_path: Path, changes: dict, says: str):
    dataset, cache = walkers
    run = make_run(tmp_path / "run", dataset, cache, **changes)
    parsed = Parsed(build.run(run, Source(dataset, cache), ReportConfig(queries=1, answers=2)).read_text())
    assert says in parsed.text
    assert bool(parsed.all("meter")) == (not changes.get("local_only"))
    alts = [a["alt"] for a in parsed.all("img")]
    assert any(a.startswith("Attention of") for a in alts) == bool(changes.get("local_only"))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("metrics.json", None, "run keyreid eval"),
        ("metrics.json", "{", "not valid JSON"),
        ("metrics.json", "[]", "expected a dict"),
        ("metrics.json", '{"headline": "none"}', "not what keyreid eval writes"),
        ("ranking.json", "[1]", "not what keyreid eval writes"),
        ("ranking.json", "[]", "is not in ranking.json"),
        ("queries.csv", "protocol\n", "line 1"),
        ("embeddings.h5", "no HDF5", "not a whole file of embeddings"),
        ("../config.yaml", "a: [", "not valid YAML"),
    ],
)
def test_damaged_files_are_named(own_run: Evaluated, name: str, content: str | None, says: str):
    path = own_run.run / "eval" / name
    path.unlink()
    if content is not None:
        path.write_text(content)
    before = own_run.report.read_text()
    with pytest.raises(KeyReIDError, match=says) as error:
        build.run(own_run.run, None)
    assert Path(name).name in str(error.value) and "\n" not in str(error.value)
    assert own_run.report.read_text() == before


def test_another_data_set_is_refused(own_run: Evaluated):
    other = replace(own_run.dataset, query=(), gallery=())
    with pytest.raises(KeyReIDError, match=r"not in the data set.*--no-pictures"):
        build.run(own_run.run, Source(other, own_run.cache))


def test_missing_weights_are_named_with_a_way_out(own_run: Evaluated, evaluated: Evaluated):
    path = own_run.run / "eval/metrics.json"
    scores = json.loads(path.read_text()) | {"checkpoint": "gone/ema.safetensors"}
    path.write_text(json.dumps(scores))
    with pytest.raises(KeyReIDError, match=r"ema\.safetensors.*--no-pictures"):
        build.run(own_run.run, own_run.source)


def test_a_query_without_embedding_is_named(own_run: Evaluated):
    path = own_run.run / "eval/embeddings.h5"
    found = TestSet.load(path)
    replace(found, names=np.array([f"x{name}" for name in found.names])).save(path)
    with pytest.raises(KeyReIDError, match="has no embedding"):
        build.run(own_run.run, None)
