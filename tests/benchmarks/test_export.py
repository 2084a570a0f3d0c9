"""The benchmark of the exported networks, with few calls."""

import pytest
import torch

WHY = "ONNX is not installed: pip install -r requirements/export.txt"
for name in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(name, reason=WHY)


def test_torch_and_onnxruntime_are_timed_side_by_side(capsys, monkeypatch):
    from benchmarks.export import main

    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    main(["--rounds", "1"])
    head, columns, *lines = capsys.readouterr().out.splitlines()
    assert "onnxruntime" in head and columns.split()[-1] == "torch/onnxruntime"
    found = [line.rsplit(maxsplit=4) for line in lines]
    assert [(name.split(",")[0], int(batch)) for name, batch, *_ in found] == [
        ("walkers recipe", 1), ("walkers recipe", 8), ("walkers", 1), ("walkers", 16)
    ]  # fmt: skip
    for _, _, ours, theirs, ratio in found:
        assert float(ratio) == pytest.approx(float(ours) / float(theirs), rel=0.05)
