"""The report of a test set and its files."""

import csv
import json

import pytest

from cache.errors import KeyReIDError
from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.score import FILES, METRICS, score
from tests.stages.reid.test_evaluate import embeddings


def test_files_and_report_agree(tmp_path):
    test = embeddings()
    report = score(test, EvalConfig(bootstrap=0), tmp_path / "eval")
    assert {path.name for path in (tmp_path / "eval").iterdir()} == {METRICS, *FILES}
    assert json.loads((tmp_path / "eval" / METRICS).read_text()) == json.loads(json.dumps(report))
    with (tmp_path / "eval" / "queries.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["protocol"] == report["headline"]]
    figures = report["protocols"][report["headline"]]
    assert len(rows) == figures["num_valid"]
    assert report["line"].startswith("walkers, split -, protocol official, checkpoint here: mAP ")


def test_an_interrupted_scoring_leaves_no_metrics(tmp_path):
    folder = tmp_path / "eval"
    score(embeddings(), EvalConfig(bootstrap=0), folder)
    alone = embeddings(cameras=1, per_camera=1)
    with pytest.raises(KeyReIDError, match="none of 7 queries has a right answer"):
        score(alone, EvalConfig(bootstrap=0), folder)
    assert not (folder / METRICS).exists()


def test_the_headline_is_the_first_protocol_asked_for():
    report = score(embeddings(), EvalConfig(bootstrap=0, protocols=("queries-dropped", "official")))
    assert report["headline"] == "queries-dropped"
    assert list(report["protocols"]) == ["queries-dropped", "official"]
