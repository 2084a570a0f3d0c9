"""The commands doctor and compare, from the command line."""

import json
from unittest.mock import ANY

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cache.errors import KeyReIDError
from cache.folder import SOURCES
from cache.writer import write_cache
from pipeline.commands.compare import command as compare
from pipeline.commands.doctor import command as doctor
from stages.pose.sources import Sources, content_digest, digest_of
from stages.reid.scoring.compare import write_queries
from tests.stages.datasets.layouts import write_tree


def test_doctor_says_that_walkers_are_complete(walkers_tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where there is no pose cache of other walkers, as make demo leaves one
    result = CliRunner().invoke(doctor, ["--dataset", "walkers", "--data-root", str(walkers_tiny)])
    assert result.exit_code == 0, result.output
    assert "complete" in result.output and "wrong" in result.output  # "frames of wrong size"


def test_doctor_finds_damaged_frames_says_what_to_do_and_exits_with_one(tmp_path):
    root = write_tree(tmp_path / "d", ["train/1/1/t", "train/2/1/t"])  # empty files
    report = tmp_path / "problems.jsonl"
    options = ["--dataset", "folder", "--data-root", str(root), "-o", str(report), "--workers", "1"]
    result = CliRunner().invoke(doctor, options)
    assert result.exit_code == 1
    assert "4 of 4" in result.output
    assert "train/1/1/t/f2.JPG: unreadable: is empty (zero bytes)" in result.output
    assert len([json.loads(line) for line in report.read_text().splitlines()]) == 4
    assert CliRunner().invoke(doctor, [*options, "--no-frames"]).exit_code == 0


def examine(root, *more):
    options = ["--dataset", "folder", "--data-root", str(root), "--cache", str(root.parent / "poses")]
    result = CliRunner(env={"COLUMNS": "300"}).invoke(doctor, [*options, "--workers", "1", *more])
    return result.exit_code, " ".join(result.output.split())


def write_pictures(root, places):
    """A tree whose frames are different pictures."""
    rng = np.random.default_rng(0)
    for place in places:
        (root / place).mkdir(parents=True)
        Image.fromarray(rng.integers(0, 255, (64, 32, 3), np.uint8)).save(root / place / "1.jpg")
    return root


@pytest.fixture
def pictures(tmp_path):
    return write_pictures(tmp_path / "data", [f"{p}/{c}/t" for p in range(1, 5) for c in (1, 2)])


def test_doctor_accepts_what_can_be_scored_and_nothing_else(tmp_path, pictures):
    assert examine(pictures) == (0, ANY) and "is complete" in examine(pictures)[1]
    one_camera = write_pictures(tmp_path / "one", [f"{p}/1/{t}" for p in range(1, 5) for t in "ab"])
    code, said = examine(one_camera)
    assert code == 1 and "2 of 2" in said and "from another camera" in said
    same = [f"{s}/{p}/{c}/t" for s in ("train", "test") for p in range(1, 5) for c in (1, 2)]
    code, said = examine(write_pictures(tmp_path / "same", same))
    assert code == 1 and "train and test both" in said and "train on others" in said


def test_a_list_of_frames_may_have_any_name(pictures):
    rows = ["frame,person,camera,tracklet,subset"]
    for person in (1, 2, 3, 4):
        subsets = ("train", "train") if person < 3 else ("query", "gallery")
        rows += [
            f"{person}/{c}/t/1.jpg,{person},{c},{person}{c},{s}" for c, s in zip((1, 2), subsets, strict=True)
        ]
    (pictures / "frames of spring.csv").write_text("\n".join(rows))
    (pictures / "other.csv").touch()
    with pytest.raises(KeyReIDError, match="2 CSV files; name the list of frames with --list"):
        CliRunner().invoke(
            doctor, ["--dataset", "folder", "--data-root", str(pictures)], catch_exceptions=False
        )
    code, said = examine(pictures, "--list", "frames of spring.csv")
    assert code == 0 and "0 of 8" in said


def test_doctor_reports_what_the_decoder_warns_of(pictures):
    frame = pictures / "1/1/t/1.jpg"
    data = frame.read_bytes()
    frame.write_bytes(data[: len(data) // 2] + data[-2:])
    code, said = examine(pictures)
    assert code == 0 and "1 of 8" in said and "1/1/t/1.jpg: warning: " in said and "premature end" in said


def test_doctor_finds_frames_that_are_not_the_pose_caches(pictures):
    names = [f"{p}/{c}/t/1.jpg" for p in range(1, 5) for c in (1, 2)]
    cache = pictures.parent / "poses"
    digests = np.array([digest_of((pictures / name).read_bytes()) for name in names], np.uint64)
    heat = np.zeros((8, 17, 64, 32), np.uint8)
    parts = {"frames": {"content": content_digest(digests)}}
    write_cache(cache, names, heat, np.zeros((8, 17, 3)), np.full((8, 2), 32), parts=parts)
    records = Sources.empty(8)
    records["digest"], records["bytes"] = digests, -2
    Sources(records, {}).save(cache / SOURCES)
    assert examine(pictures) == (0, ANY)
    (pictures / names[2]).write_bytes((pictures / names[5]).read_bytes())
    code, said = examine(pictures)
    assert code == 1 and "1 of 8" in said and f"{names[2]}: changed: not the frame that {cache}" in said
    for name in names:
        (pictures / name).write_bytes((pictures / name).read_bytes() + b" ")
    assert examine(pictures)[0] == 1  # the user has named that cache


def test_a_pose_cache_of_another_data_set_of_that_name_is_no_fault_of_this_one(pictures, monkeypatch):
    monkeypatch.chdir(pictures.parent)
    names = [f"{p}/{c}/t/1.jpg" for p in range(1, 5) for c in (1, 2)]
    digests = np.arange(8, dtype=np.uint64)
    parts = {"frames": {"content": content_digest(digests)}}
    write_cache(
        pictures.parent / "poses/data", names, np.zeros((8, 17, 64, 32), np.uint8), np.zeros((8, 17, 3)),
        np.full((8, 2), 32), parts=parts,
    )  # fmt: skip
    records = Sources.empty(8)
    records["digest"], records["bytes"] = digests, -2
    Sources(records, {}).save(pictures.parent / "poses/data" / SOURCES)
    options = ["--dataset", "folder", "--data-root", "data", "--workers", "1"]
    result = CliRunner(env={"COLUMNS": "300"}).invoke(doctor, options)
    said = " ".join(result.output.split())
    assert result.exit_code == 0 and "is complete" in said, said
    assert "poses/data is of other pictures of the same names: give --cache" in said


def test_doctor_finds_out_before_it_reads_that_its_file_cannot_be_written(pictures, tmp_path):
    with pytest.raises(KeyReIDError, match="there is a folder of that name"):
        options = ["--dataset", "folder", "--data-root", str(pictures), "-o", str(tmp_path)]
        CliRunner().invoke(doctor, options, catch_exceptions=False)


def test_doctor_checks_real_mini_mars(real_data):
    options = ["--dataset", "mini-mars", "--data-root", str(real_data / "mini-mars")]
    result = CliRunner().invoke(doctor, options)
    assert result.exit_code == 0, result.output
    assert "0 of 501" in result.output


@pytest.mark.parametrize("as_json", [False, True])
def test_compare_prints_the_difference_of_two_runs(tmp_path, as_json):
    for name, gain in (("a", 0.0), ("b", 0.1)):
        (tmp_path / name).mkdir()
        rows = [("official", f"q{i}", i // 5, i / 100 + gain, 0.5, 1 + i % 3) for i in range(50)]
        write_queries(tmp_path / name / "queries.csv", rows)
    options = [str(tmp_path / "a"), str(tmp_path / "b"), "--resamples", "500"]
    result = CliRunner().invoke(compare, [*options, "--json"] if as_json else options)
    assert result.exit_code == 0, result.output
    if as_json:
        assert json.loads(result.output)["official"]["scores"]["mAP"]["difference"] == pytest.approx(0.1)
    else:
        assert "+10.00" in result.output and "…" not in result.output
        assert "50 queries of 10 persons" in result.output
