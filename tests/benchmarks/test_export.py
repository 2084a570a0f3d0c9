"""The benchmark of the exported networks, with few calls."""

import numpy as np
import pytest
import torch
import yaml

from cache.writer import write_cache
from stages.datasets import load_dataset
from tests.stages.conftest import gaussian_heat
from tests.stages.reid.own import write_run

WHY = "ONNX is not installed: pip install -r requirements/export.txt"
for name in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(name, reason=WHY)


@pytest.mark.slow
def test_torch_and_onnxruntime_are_timed_side_by_side(capsys, monkeypatch):
    from benchmarks.export import main

    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    main(["--rounds", "1"])
    head, columns, *lines = capsys.readouterr().out.splitlines()
    assert "onnxruntime" in head and columns.split()[-1] == "torch/onnxruntime"
    found = [line.rsplit(maxsplit=5) for line in lines]
    recipe = "walkers recipe, a clip of 4"
    assert [(name, int(batch)) for name, _, batch, *_ in found] == [
        *((f"{recipe}, {precision}", batch) for precision in ("fp32", "fp16", "int8") for batch in (1, 8)),
        ("walkers, a frame", 1),
        ("walkers, a frame", 16),
    ]
    fp32, fp16, int8 = (float(found[row][1]) for row in (0, 2, 4))
    assert int8 < fp16 < 0.6 * fp32
    for *_, ours, theirs, ratio in found:
        assert float(ratio) == pytest.approx(float(ours) / float(theirs), rel=0.05)


def test_a_file_in_any_precision_is_scored_beside_torch(capsys, monkeypatch, walkers_tiny, tmp_path):
    from benchmarks.export import main

    dataset = load_dataset("walkers", walkers_tiny)
    frames = tuple(frame for tracklet in dataset.test_tracklets() for frame in tracklet.frames)
    heat, keypoints = gaussian_heat(walkers_tiny, frames)
    sizes = np.tile([[256, 128]], (len(frames), 1))
    write_cache(tmp_path / "poses", frames, heat, keypoints.astype(np.float32), sizes)
    run = write_run(tmp_path / "run", tmp_path / "none.yaml")
    recipe = {
        "dataset": {"name": "walkers", "root": str(walkers_tiny)},
        "cache": str(tmp_path / "poses"),
        "eval": {"batch_size": 8},
    }
    (run / "config.yaml").write_text(yaml.safe_dump(recipe))
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    main(["--run", str(run)])
    *_, plain, fp32, fp16, int8 = (line.split() for line in capsys.readouterr().out.splitlines())
    assert [row[1] for row in (plain, fp32, fp16, int8)] == ["fp32", "fp32", "fp16", "int8"]
    assert fp32[4:6] == plain[2:4] and fp32[6:] == ["100.0%", "1.00000"]  # mAP, Rank-1, the rest
    assert float(fp16[7]) > 0.9999 and float(int8[7]) > 0.99
