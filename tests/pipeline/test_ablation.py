"""`keyreid ablation`: every variant with every seed, resumable, clean and occluded queries apart."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from cache.errors import KeyReIDError
from pipeline import ablation
from stages.datasets import load_dataset
from tests.pipeline.conftest import TINY, Trained


def test_it_writes_a_table_and_a_plot_and_does_nothing_twice(trained: Trained, keyreid, tmp_path):
    variants = {"both": [], "global": ["model.global_only=true"]}
    content = {"recipe": "walkers", "seeds": [1, 2], "set": [*TINY, "train.epochs=1"], "variants": variants}
    config = tmp_path / "ablation.yaml"
    config.write_text(yaml.safe_dump(content))
    out = tmp_path / "out"
    words = ("ablation", "--config", config, "--data-root", trained.data, "--cache", trained.poses)
    first = keyreid(*words, "--out", out, "--workers", 2)
    assert first.code == 0, first.err
    table = json.loads((out / "table.json").read_text())["table"]
    assert set(table) == {"both", "global"} and (out / "plot.png").stat().st_size > 5000
    assert {"all mAP", "all rank1", "clean mAP", "occluded mAP"} <= set(table["both"])

    results = sorted(out.rglob(ablation.RESULT))
    before = {path: path.stat().st_mtime_ns for path in results}
    results[0].unlink()
    assert keyreid(*words, "--out", out).code == 0
    changed = [path for path in results if path.stat().st_mtime_ns != before[path]]
    assert changed == results[:1], "only what was missing is done again"


def test_queries_are_split_by_what_stood_before_them(walkers_tiny, tmp_path):
    data = load_dataset("walkers", walkers_tiny)
    names = np.array([t.name for t in data.query])
    rows = np.arange(len(names))
    halves = ablation.query_halves(walkers_tiny, names, rows)
    with (walkers_tiny / "occluders.csv").open() as file:
        hidden = {Path(row["frame"]).name[:11] for row in csv.DictReader(file)}
    expected = [name for name in names if name.rpartition("/")[2][:11] in hidden]
    assert names[halves["occluded"]].tolist() == expected and expected
    assert len(halves["clean"]) == len(names) - len(expected) > 0
    assert set(ablation.query_halves(walkers_tiny, names, halves["clean"])) == {"all", "clean"}
    with pytest.raises(KeyReIDError, match=r"walkers\.json"):
        ablation.query_halves(tmp_path, names, rows)


def test_every_variant_that_we_ship_is_a_valid_recipe(trained: Trained, tmp_path):
    from cache import PoseCache

    jobs = ablation.plan(ablation.read_config(None), PoseCache.open(trained.poses), trained.data, tmp_path)
    assert len({job.folder for job in jobs}) == len(jobs) == len({job.fingerprint for job in jobs})
