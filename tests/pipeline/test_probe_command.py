"""`keyreid probe` as a user calls it, and its place in the report."""

import json
import shutil
from pathlib import Path

from tests.pipeline.conftest import Evaluated, Trained


def test_a_probe_prints_tables_writes_json_and_picture_and_is_part_of_the_report(
    trained: Trained, evaluated: Evaluated, keyreid, tmp_path
):
    run = Path(shutil.copytree(evaluated.run, tmp_path / "walkers" / evaluated.run.name))
    data = ("--data-root", trained.data, "--cache", trained.poses, "--set", "eval.workers=0")
    done = keyreid("probe", "--run", run, *data, "--resamples", 200)
    assert done.code == 0, done.err
    for words in (
        "another part's",
        "uniform attention",
        "random patches",
        "occluded queries",
        "Common share",
    ):
        assert words in done.out
    assert "…" not in done.out
    report = json.loads((run / "probe/probe.json").read_text())
    assert len(report["conditions"]) == 16 and report["protocol"] == "queries-kept"

    assert keyreid("report", "--run", run, *data, "--no-pictures").code == 0
    page = (run / "report.html").read_text()
    assert "What replacing heat, attention and patches does" in page and "left and right swapped" in page
    (run / "probe/probe.json").write_text(json.dumps({**report, "sha256": "of other weights"}))
    assert keyreid("report", "--run", run, *data, "--no-pictures").code == 0
    assert "What replacing heat, attention and patches does" not in (run / "report.html").read_text()


def test_json_is_what_is_written(trained: Trained, keyreid, tmp_path):
    words = ("--data-root", trained.data, "--cache", trained.poses, "--set", "eval.workers=0")
    done = keyreid("probe", "--run", trained.run, *words, "--resamples", 100, "--json", "-o", tmp_path)
    assert json.loads(done.out) == json.loads((tmp_path / "probe.json").read_text())
