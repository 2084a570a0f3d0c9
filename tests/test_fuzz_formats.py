"""Every other format that the program reads, damaged at random: what was written, or one line of ours.

Caches, frames, estimators and data sets have fuzz tests of their own, beside their own tests.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import strategies as st

from cache.errors import KeyReIDError
from pipeline.ablation import from_json, read_config
from pipeline.config import load_recipe
from stages.datasets.times import read_times
from stages.datasets.walkers.occlusion import Occlusion
from stages.datasets.walkers.record import read_frame_records
from stages.pose.keypoint_files import read_poses
from stages.reid.embedder import run_config
from stages.reid.evaluate import score
from stages.reid.model.weights import load_model, save_model
from stages.reid.scoring.compare import read_queries, write_queries
from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.embeddings import Embeddings, TestSet
from stages.reid.search.calibration import find_entry
from stages.reid.training.checkpoint import CheckpointFolder
from stages.report import views
from stages.report.contents import keep_baselines, read_contents
from stages.report.occlusion import read_occluders
from stages.tracks.cameras import load_cameras
from stages.tracks.config import CutConfig
from stages.tracks.detect.spec import load_detector_spec
from stages.tracks.motfile import read_boxes
from stages.tracks.record import read_record
from stages.weights_file import read_tensors
from tests.fuzzing import EXAMPLES, JSON, damaged, fuzz
from tests.stages.reid.model.tiny import tiny_model
from tests.stages.reid.test_evaluate import embeddings
from tests.stages.tracks.test_install import RECORD

FRAMES = ["a/1.jpg", "a/2.jpg"]
POINTS = [5.0, 6.0, 0.9] * 17


@dataclass(frozen=True)
class Format:
    """write: a sound file at a path. read: what the program does with it. record: text of JSON or YAML.

    whole: it is all that is read; else the sound file alone is refused, as another has to be there too.
    """

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], object]
    record: bool = False
    whole: bool = True


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


def as_json(content) -> Callable[[Path], object]:
    return text(json.dumps(content))


def write_state(path: Path) -> None:
    CheckpointFolder(path.parent, 3).save(1, {"weights": torch.zeros(3), "position": {"step": 1}}, {})


def read_state(path: Path) -> None:
    folder = CheckpointFolder(path.parent, 3)
    newest = folder.newest()
    folder.load(path.with_suffix(".pt") if newest is None else newest)


def write_numbers(path: Path, save: Callable = np.savez) -> None:
    save(path, names=np.array(FRAMES), keypoints=np.array([POINTS] * 2).reshape(2, 17, 3))


def read_optional_run(path: Path) -> object:
    return run_config(path.with_name("model.safetensors"))


def write_evaluation(path: Path) -> None:
    found = embeddings(parts=2, split=8)
    score(found, EvalConfig(bootstrap=20), path.parent)
    found.save(path.parent / "embeddings.h5")
    report = json.loads((path.parent / "metrics.json").read_text())
    keep_baselines(path.parent, {"untrained": report["protocols"][report["headline"]]})
    (path.parent / "metrics.jsonl").write_text('{"kind": "train", "step": 1, "loss": 2.5}\n' * 3)
    (path.parent / "config.yaml").write_text("model: {parts: 3}\n")


def read_evaluation(path: Path) -> None:
    """What a report takes from the file, but for what the network would add."""
    contents = read_contents(path.parent, path.parent)
    assert contents.protocol and contents.eval_config
    views.score_rows(contents), views.baseline_rows(contents)
    if path.name == "metrics.jsonl":
        views.training_charts(contents)
    if path.name == "metrics.json":
        views.cmc_chart(contents)


FORMATS = [
    Format("recipe.yaml", text("dataset: {name: walkers}\ntrain:\n  epochs: 3\n"),
           lambda p: load_recipe("walkers", p), True),
    Format("config.yaml", text("pose: {half: false}\neval: {workers: 0}\n"), read_optional_run, True),
    Format("ablation.yaml", text(Path("configs/ablation.yaml").read_text()), read_config, True),
    Format(
        "cameras.yaml", text("cameras:\n  - {name: door, files: [a.mp4]}\n"), load_cameras, True
    ),
    Format(
        "detector.yaml",
        text(Path("configs/detect/centernet-mobilenetv3.yaml").read_text()),
        lambda p: load_detector_spec(str(p)),
        True,
    ),
    Format("model.safetensors", lambda p: save_model(tiny_model(parts=4), p), load_model),
    Format("model.json", lambda p: save_model(tiny_model(parts=4), p.with_suffix(".safetensors")),
           lambda p: load_model(p.with_suffix(".safetensors")), True),
    Format("weights.pth", lambda p: torch.save({"state_dict": {"a": torch.zeros(3)}}, p), read_tensors),
    Format("state-00000001.pt", write_state, read_state),
    Format("state-00000001.json", write_state, read_state, True),
    Format("embeddings.h5", lambda p: embeddings(parts=2, split=4).save(p), TestSet.load),
    Format("gallery.h5", lambda p: embeddings().save(p, half=True), Embeddings.load),
    Format("stored.h5", lambda p: embeddings().save(p),
           lambda p: Embeddings.load(p, stored=True).features[:]),
    Format("calibration.json", as_json({"schema": 1, "entries": []}),
           lambda p: find_entry(p, distance="euclidean"), True, whole=False),
    Format("queries.csv", lambda p: write_queries(p, [("p", "q", 1, 0.5, 0.5, 1)]), read_queries),
    Format("table.json", as_json({"results": []}), from_json, True, whole=False),
    Format("walkers.json", as_json({"occluded_tracklets": ["x"], "per_frame": {"frames": {"a": [0] * 14}}}),
           lambda p: (Occlusion(p.parent), read_frame_records(p.parent)), True),
    Format("occluders.csv", text("frame,kind,covered\na.jpg,pole,0.5\n"), lambda p: read_occluders(p.parent)),
    Format("a.times.tsv", text("tracklet\tstart\tend\tfirst\tlast\na\t1.0\t2.0\t1\t5\n"),
           lambda p: read_times(p.parent)),
    Format("tracks.txt", text("1,1,10,20,60,80,1,-1,-1,-1\n2,1,10,20,60,80,1,-1,-1,-1\n"),
           lambda p: read_boxes(p, CutConfig(camera="a"))),
    Format("poses.json", as_json([{"image_id": f, "keypoints": POINTS, "score": 1.0} for f in FRAMES]),
           lambda p: read_poses(p, None, FRAMES), True),
    Format("poses.npz", write_numbers, lambda p: read_poses(p, None, FRAMES)),
    Format("packed.npz", lambda p: write_numbers(p, np.savez_compressed),
           lambda p: read_poses(p, None, FRAMES)),
    Format("a.track.json", as_json(RECORD), read_record, True),
    *(
        Format(name, write_evaluation, read_evaluation, name.endswith(("json", "yaml")))
        for name in ("metrics.json", "ranking.json", "baselines.json", "config.yaml", "metrics.jsonl")
    ),
]  # fmt: skip


def one_line(act: Callable[[], object]) -> None:
    """Nothing but an error of ours may come out, and that in one line."""
    try:
        act()
    except KeyReIDError as error:
        assert "\n" not in str(error) and "\x1b" not in str(error) and len(str(error)) < 3000


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_damaged_files_are_read_or_refused_in_a_line(tmp_path, form, examples):
    path = tmp_path / form.name
    form.write(path)
    original = path.read_bytes()
    if form.whole:
        form.read(path)

    def check(content: bytes) -> None:
        path.write_bytes(content)
        one_line(lambda: form.read(path))

    fuzz(examples, damaged(original), check)


@st.composite
def changed(draw, content):
    """A JSON value with one value anywhere in it replaced."""
    content = json.loads(json.dumps(content, default=str))
    here, key = {"": content}, ""
    while isinstance(here[key], dict | list) and here[key] and draw(st.integers(0, 4)):
        here = here[key]
        key = draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
    here[key] = draw(JSON | st.just(10**30) | st.just(-1) | st.just("\x1b[31m\n[/]"))
    return here[key] if key == "" else content


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("form", [form for form in FORMATS if form.record], ids=lambda form: form.name)
def test_records_of_other_values_are_read_or_refused_in_a_line(tmp_path, form, examples):
    path = tmp_path / form.name
    form.write(path)
    content = yaml.safe_load(path.read_text())

    def check(value) -> None:
        path.write_text(json.dumps(value))  # JSON is YAML
        one_line(lambda: form.read(path))

    fuzz(examples, changed(content), check)


HOSTILE = {
    "nothing": b"",
    "deep": b"[" * 2_000 + b"]" * 2_000,
    "a long number": b'{"schema": ' + b"9" * 5000 + b"}",
    "no UTF-8": b"\xff\xfe\x00a",
    "zero bytes": bytes(2000),
    "aliases of aliases": b"a: &a [x, x, x, x, x, x, x, x, x]\n"
    + b"".join(
        b"%c: &%c [%s]\n" % (i + 1, i + 1, b", ".join([b"*%c" % i] * 9)) for i in range(ord("a"), ord("j"))
    ),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_hostile_files_are_refused_in_a_line(tmp_path, form, content):
    path = tmp_path / form.name
    form.write(path)
    path.write_bytes(content)
    one_line(lambda: form.read(path))
