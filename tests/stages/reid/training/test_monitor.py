"""What a run writes down as it goes."""

import io
import json
import logging
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cache import PoseCache
from stages.reid.model import ModelConfig
from stages.reid.model.keyreid import ClipOutput
from stages.reid.train import run
from stages.reid.training.config import TrainConfig
from stages.reid.training.monitor import METRICS, Monitor, attention_statistics, part_map_grid
from tests.limits import file_size_limit
from tests.stages.reid.driver import MODEL, TRAIN, dataset, merged


def record(step):
    return {
        "kind": "train", "step": step, "epoch": 0, "loss": 1.0, "accuracy": 0.5, "learning_rate": 0.1,
        "clips_per_second": 3.0,
    }  # fmt: skip


def test_a_resumed_run_drops_the_records_after_its_checkpoint_and_a_line_cut_short(tmp_path):
    lines = [json.dumps(record(step)) for step in (1, None, "2", 2, 3, 4)]
    (tmp_path / METRICS).write_text("\n".join(lines) + '\n{"kind": "tr')
    with Monitor(tmp_path, total_steps=9, start_step=2, show=False) as monitor:
        monitor.write(record(3))
    steps = [json.loads(line)["step"] for line in (tmp_path / METRICS).read_text().splitlines()]
    assert steps == [1, 2, 3]


def test_numbers_that_are_not_finite_are_null(tmp_path):
    with Monitor(tmp_path, total_steps=9, start_step=0, show=False) as monitor:
        monitor.write({**record(1), "gradient_norm": float("nan"), "loss_scale": float("inf")})
    (line,) = (tmp_path / METRICS).read_text().splitlines()
    found = json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert found["gradient_norm"] is None and found["loss_scale"] is None and found["loss"] == 1.0


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_progress_bar_tells_everything_in_80_columns(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    run(
        TrainConfig(**merged(TRAIN, {"epochs": 2})), ModelConfig(**MODEL), dataset(tiny),
        PoseCache.open(tiny / "cache"), tmp_path, show_progress=True,
    )  # fmt: skip
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sys.stderr.getvalue())
    number = r"[\d.e+-]+"
    assert re.search(r"epoch 2/2 \S+ 10/10 \S*\d:\d\d left", shown), shown
    losses = rf"loss {number} \(id {number} tr {number} ce {number} at {number}\)"
    assert re.search(rf"{losses} acc \d+% lr {number} {number} clips/s", shown), shown
    show_nothing = Terminal()
    monkeypatch.setattr(sys, "stderr", show_nothing)
    (tmp_path / "quiet").mkdir()
    with Monitor(tmp_path / "quiet", 9, 0, show=False) as monitor:
        monitor.step(record(1), epochs=2)
    assert "left" not in show_nothing.getvalue()


def test_a_full_disk_costs_records_and_not_the_run(tmp_path, caplog):
    with caplog.at_level(logging.WARNING), Monitor(tmp_path, 9, 0, show=False) as monitor:
        monitor.file.close()
        monitor.file = Path("/dev/full").open("w")  # noqa: SIM115  the device that is always full
        monitor.write(record(1))
        monitor.write(record(2))
    assert caplog.text.count("training continues") == 1


def test_the_picture_shows_heat_where_it_is_on_the_frame():
    images, maps = torch.zeros(2, 3, 64, 32), torch.zeros(2, 3, 8, 4)
    maps[1, 2, 4, 1] = 1.0  # frame 1, part 2, a quarter cell right of the middle left
    picture = part_map_grid(images, maps, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert picture.shape == (2 * 64, 4 * 32, 3) and picture.dtype == np.uint8
    y, x = np.unravel_index(picture[..., 0].argmax(), picture.shape[:2])
    assert y // 64 == 1 and x // 32 == 3 and 32 <= y % 64 < 40 and 8 <= x % 32 < 16


def test_attention_statistics_are_entropies_in_nats_over_frames_and_over_all_patches():
    blank = dict.fromkeys(ClipOutput._fields)
    rows = torch.tensor([[0.5, 0.25], [0.25, 0.0]]).expand(2, 6, 2, 2)
    found = attention_statistics(
        ClipOutput(**{**blank, "frame_weights": torch.full((2, 4), 0.25), "part_attention": rows})
    )
    assert found.keys() == {"attention_frames", "attention_parts"}
    np.testing.assert_allclose(found["attention_frames"], np.log(4), rtol=1e-6)
    np.testing.assert_allclose(found["attention_parts"], 1.5 * np.log(2), rtol=1e-6)
    assert attention_statistics(ClipOutput(**blank)) == {}


def test_a_full_disk_costs_the_records_one_warning_and_no_traceback(tmp_path, caplog, capfd):
    with Monitor(tmp_path, total_steps=900, start_step=0, show=False) as monitor, file_size_limit(20_000):
        for step in range(900):
            monitor.write(record(step))
    assert [r.getMessage().count("cannot be written") for r in caplog.records] == [1]
    assert "Traceback" not in capfd.readouterr().err
