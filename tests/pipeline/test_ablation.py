"""`keyreid ablation`: every variant with every seed, resumable, clean and occluded queries apart."""

import json

import numpy as np
import pytest
import yaml

from cache.errors import KeyReIDError
from pipeline import ablation
from tests.pipeline.conftest import TINY, Trained


def test_it_writes_a_table_and_a_plot_and_does_nothing_twice(trained: Trained, keyreid, tmp_path):
    variants = {"both": [], "global": ["model.global_only=true"]}
    content = {"recipe": "walkers", "seeds": [1, 2], "set": [*TINY, "train.epochs=1"], "variants": variants}
    config = tmp_path / "ablation.yaml"
    config.write_text(yaml.safe_dump(content))
    out = tmp_path / "out"
    words = ("ablation", "--config", config, "--data-root", trained.data, "--cache", trained.poses)
    first = keyreid(*words, "-o", out, "--workers", 2)
    assert first.code == 0, first.err
    table = json.loads((out / "table.json").read_text())["table"]
    assert set(table) == {"both", "global"} and (out / "plot.png").stat().st_size > 5000
    assert {"all mAP", "all rank1", "clean mAP", "occluded mAP", "seconds"} <= set(table["both"])
    text = (out / "table.md").read_text()
    assert text.startswith(ablation.markdown(ablation.from_json(out / "table.json")))
    assert "| against both |" in text and "p = " in text
    difference = json.loads((out / "table.json").read_text())["against_first"]["global"]["all mAP"]
    means = [table[variant]["all mAP"][0] for variant in ("global", "both")]
    assert difference["difference"] == pytest.approx(means[0] - means[1])

    results = sorted(out.rglob(ablation.RESULT))
    before = {path: path.stat().st_mtime_ns for path in results}
    results[0].unlink()
    assert keyreid(*words, "-o", out).code == 0
    changed = [path for path in results if path.stat().st_mtime_ns != before[path]]
    assert changed == results[:1], "only what was missing is done again"


def test_without_a_cache_no_folder_is_made(keyreid, tmp_path):
    made = keyreid("ablation", "--cache", tmp_path / "none", "-o", tmp_path / "out")
    assert made.code == 2 and "none" in made.err and not list(tmp_path.iterdir())


def result(variant: str, seed: int, score: float, seconds: float) -> dict:
    """A result as a job writes it."""
    scores = {
        part: {"mAP": score, "rank1": score / 2, "num_valid": 9} for part in ("all", "clean", "occluded")
    }
    return {"variant": variant, "seed": seed, "scores": scores, "seconds": seconds, "threads": 2}


def test_the_table_has_scores_with_deviation_and_the_mean_seconds_of_a_training(tmp_path):
    results = [result("a", 1, 0.5, 100.0), result("a", 2, 0.7, 103.0), result("b", 1, 0.25, 9.9)]
    table = ablation.summary(results)
    assert table["a"]["clean mAP"] == pytest.approx((60, 200**0.5))
    assert table["a"]["seconds"] == pytest.approx((101.5, 4.5**0.5)) and table["b"]["seconds"] == (9.9, 0)
    head, rule, *rows = ablation.markdown(table).splitlines()
    assert head.endswith("| occluded mAP | occluded rank1 | seconds |") and rule.count("---:") == 7
    assert rows[0].startswith("| a | 60.0 ± 14.1 | 30.0 ± 7.1 |") and rows[0].endswith(" | 102 |")
    assert rows[1].startswith("| b | 25.0 ± 0.0 |") and rows[1].endswith(" | 10 |")

    path = tmp_path / "table.json"
    path.write_text(json.dumps({"table": {"without": "seconds"}, "results": results}))  # of an older version
    assert ablation.from_json(path) == table
    ablation.plot(table, tmp_path / "plot.png", "two variants")
    assert (tmp_path / "plot.png").stat().st_size > 5000


def test_a_variant_is_compared_with_the_first_over_the_seeds_that_both_have():
    def trained(variant: str, seed: int, gain: float) -> dict:
        ap = np.random.default_rng(seed).uniform(0.2, 0.8, 12) + gain
        queries = {"person": [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6], "occluded": [False, True] * 6}
        return {
            "variant": variant,
            "seed": seed,
            "queries": {**queries, "mAP": ap, "rank1": (ap > 0.5) * 1.0},
        }

    results = [
        trained("a", 1, 0),
        trained("a", 2, 0),
        trained("b", 1, 0.1),
        trained("b", 2, 0.12),
        trained("b", 3, 9),
    ]
    cell = ablation.against_first(results)["b"]["occluded mAP"]
    assert cell.difference == pytest.approx(11) and cell.p < 0.1
    assert ablation.against_first([trained("a", 1, 0), trained("b", 2, 0.1)]) == {}
    assert ablation.against_first([result("a", 1, 0.5, 1.0), result("b", 1, 0.5, 1.0)]) == {}  # of before


@pytest.mark.parametrize(
    "text", [None, "no JSON", "[]", '{"results": []}', '{"results": [{"variant": "a"}]}']
)
def test_a_file_that_is_no_table_is_named(tmp_path, text):
    if text is not None:
        (tmp_path / "table.json").write_text(text)
    with pytest.raises(KeyReIDError, match=r"table\.json: .*make it with keyreid ablation"):
        ablation.from_json(tmp_path / "table.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seeds: [1, 2, 1]\nvariants: {a: []}", "seeds = .*seed 1 is listed twice"),
        (
            "seeds: [1]\nvariants:\n  a: []\n  b: []\n  a: [model.kps=false]",
            "line 6: not valid YAML: the key 'a' appears twice",
        ),
        ("seeds: [1]\nvariants: {a: [], 'a': []}", "the key 'a' appears twice"),
        ("seeds: [1]\nvariants: {1: [], 1: []}", "the key '1' appears twice"),
    ],
)
def test_a_seed_or_a_variant_that_is_there_twice_is_named(tmp_path, text, words):
    (tmp_path / "list.yaml").write_text(f"recipe: walkers\n{text}\n")
    with pytest.raises(KeyReIDError, match=words) as error:
        ablation.read_config(tmp_path / "list.yaml")
    assert "list.yaml" in str(error.value)


def test_every_variant_that_we_ship_is_a_valid_recipe(trained: Trained, tmp_path):
    from cache import PoseCache

    jobs = ablation.plan(ablation.read_config(None), PoseCache.open(trained.poses), trained.data, tmp_path)
    assert len({job.folder for job in jobs}) == len(jobs) == len({job.fingerprint for job in jobs})
