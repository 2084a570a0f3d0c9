"""ONNX detectors: the one that comes with the program, others by their spec, and errors."""

import shutil
from itertools import islice

import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.datasets.walkers.street import StreetConfig, film_street
from stages.tracks.detect import load_detector
from stages.tracks.detect.spec import SPECS, load_detector_spec

WHY = "needs pip install --no-deps -r requirements/track.txt"
onnxruntime = pytest.importorskip("onnxruntime", reason=WHY)


def overlap(a, b):
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = np.prod(np.maximum(sides, 0))
    return common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common)


def test_the_detector_that_comes_with_the_program_finds_walkers_where_they_are():
    frame = next(islice(film_street(StreetConfig(persons=2, size=(480, 270)), 1), 20, None))
    assert len(frame.seen) == 2
    found = load_detector(threads=1).detect(frame.image)
    for one in frame.seen:
        best = max(overlap(np.array(one.box), box) for box in found.boxes)
        assert best > 0.6
    assert len(load_detector(threads=1).detect(np.full((270, 480, 3), 90, np.uint8))) == 0


def test_every_spec_in_the_folder_is_well_formed_and_names_its_licence():
    specs = [load_detector_spec(path.stem) for path in SPECS.glob("*.yaml")]
    assert {spec.output for spec in specs} == {"centernet", "yolox", "boxes", "dfine", "detr"}
    assert all(spec.licence and spec.source for spec in specs)
    published = [spec for spec in specs if spec.output in ("centernet", "yolox", "boxes")]
    assert len(published) == 7 and all(len(spec.sha256) == 64 for spec in published)
    assert all(spec.how for spec in specs if not spec.sha256)  # exported by whoever uses it


def test_a_missing_file_is_an_error_that_says_where_to_get_it_and_where_to_put_it(monkeypatch, tmp_path):
    monkeypatch.setenv("KEYREID_WEIGHTS", str(tmp_path))
    expected = (
        r"yolox_s\.onnx \(SHA-256 c5c2\w{60}\) is not there; get it from https://.* and put it at /.*yolox_s"
    )
    with pytest.raises(KeyReIDError, match=expected):
        load_detector("yolox-s")
    with pytest.raises(
        KeyReIDError, match=r"get it from https://.*zip, unpack the archive .*, and put it at /"
    ):
        load_detector("rtmdet-nano")


def test_another_file_of_that_name_is_refused(tmp_path):
    shutil.copy(SPECS / "centernet-mobilenetv3.yaml", tmp_path / "mine.yaml")
    (tmp_path / "centernet-mobilenetv3.onnx").write_bytes(b"something else")
    with pytest.raises(KeyReIDError, match="is not the file that detector mine names"):
        load_detector(str(tmp_path / "mine.yaml"))


def test_a_file_that_is_no_network_is_named(tmp_path):
    text = (SPECS / "centernet-mobilenetv3.yaml").read_text()
    text = "\n".join(line for line in text.splitlines() if not line.startswith("sha256"))
    (tmp_path / "mine.yaml").write_text(text)
    (tmp_path / "centernet-mobilenetv3.onnx").write_bytes(b"something else")
    with pytest.raises(KeyReIDError, match="not a network that onnxruntime can load"):
        load_detector(str(tmp_path / "mine.yaml"))


def test_a_network_whose_output_is_of_another_kind_is_named(tmp_path):
    shutil.copy(SPECS / "centernet-mobilenetv3.onnx", tmp_path)
    text = (SPECS / "centernet-mobilenetv3.yaml").read_text().replace("output: centernet", "output: boxes")
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(KeyReIDError, match=r"detector mine: .* puts out .*heat.*expected"):
        load_detector(str(tmp_path / "mine.yaml"), threads=1).detect(np.zeros((64, 64, 3), np.uint8))


def test_a_class_of_persons_that_there_is_not_is_refused(tmp_path):
    text = (SPECS / "centernet-mobilenetv3.yaml").read_text().replace("person: 0", "person: 1")
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(KeyReIDError, match="person is class 1 of 1, counted from 0"):
        load_detector_spec(str(tmp_path / "mine.yaml"))


def test_an_unknown_name_is_answered_with_those_that_are_known():
    with pytest.raises(KeyReIDError, match=r"detector yolo99: no file .*known: .*centernet-mobilenetv3"):
        load_detector("yolo99")
