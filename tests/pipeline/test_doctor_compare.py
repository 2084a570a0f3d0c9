"""The commands doctor and compare, from the command line."""

import json

import pytest
from click.testing import CliRunner

from pipeline.commands.compare import command as compare
from pipeline.commands.doctor import command as doctor
from stages.reid.scoring.compare import write_queries
from tests.stages.datasets.layouts import write_tree


def test_doctor_says_that_walkers_are_complete(walkers_tiny):
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
