"""`keyreid ablation`: every variant with every seed, resumable, clean and occluded queries apart."""

import json

import yaml

from pipeline import ablation
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
    assert set(table["both"]) == {f"{p} {s}" for p in ("all", "clean", "occluded") for s in ("mAP", "rank1")}

    results = sorted(out.rglob(ablation.RESULT))
    before = {path: path.stat().st_mtime_ns for path in results}
    results[0].unlink()
    assert keyreid(*words, "--out", out).code == 0
    changed = [path for path in results if path.stat().st_mtime_ns != before[path]]
    assert changed == results[:1], "only what was missing is done again"


def test_queries_are_split_by_what_stood_before_them(trained: Trained):
    import numpy as np

    from stages.datasets import load_dataset

    dataset = load_dataset("walkers", trained.data)
    names = np.array([t.name for t in dataset.test_tracklets()])
    query = np.arange(len(dataset.query))
    halves = ablation.query_halves(trained.data, names, query)
    assert len(halves["clean"]) and len(halves["occluded"])
    assert sorted([*halves["clean"], *halves["occluded"]]) == list(query)
    rows = (trained.data / "occluders.csv").read_text().splitlines()[1:]
    covered = {line.split(",")[0].rsplit("/", 1)[1].split("F")[0] for line in rows}
    assert {str(names[i]) for i in halves["occluded"]} <= covered
    assert not {str(names[i]) for i in halves["clean"]} & covered


def test_every_variant_that_we_ship_is_a_valid_recipe(trained: Trained, tmp_path):
    from cache import PoseCache

    jobs = ablation.plan(ablation.read_config(None), PoseCache.open(trained.poses), trained.data, tmp_path)
    assert len({job.folder for job in jobs}) == len(jobs) == len({job.fingerprint for job in jobs})
