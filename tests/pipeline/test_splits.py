"""Data sets of several splits: the mean and the deviation over them, from the command line."""

import json
from dataclasses import replace

from click.testing import CliRunner

from pipeline.commands.eval import command as evaluate
from tests.stages.reid.test_evaluate import embeddings


def test_eval_of_several_splits_prints_mean_and_deviation(tmp_path):
    options = ["--dataset", "ilids-vid"]
    scores = []
    for split in range(3):
        folder = tmp_path / str(split)
        folder.mkdir()
        data = embeddings(split)
        data = replace(
            data, about={"dataset": "ilids-vid", "split": split, "checkpoint": {"path": f"run{split}"}}
        )
        options += ["--embeddings", str(data.save(folder / "embeddings.h5"))]
    result = CliRunner().invoke(evaluate, options)
    assert result.exit_code == 0, result.output
    for split in range(3):
        report = json.loads((tmp_path / str(split) / "rescored/metrics.json").read_text())
        assert report["split"] == split
        scores.append(report["protocols"]["official"]["mAP"])
    assert "mean of 3 (0, 1, 2)" in result.output and "±" in result.output
    assert f"mAP {100 * sum(scores) / 3:.2f} ±" in result.output
