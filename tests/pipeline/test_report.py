"""`keyreid report`, and what `keyreid eval` says at its end."""

import shutil
from pathlib import Path

from tests.pipeline.conftest import Evaluated


def test_eval_ends_by_naming_its_report_and_report_writes_it_again(evaluated: Evaluated, keyreid, tmp_path):
    page = evaluated.run / "report.html"
    assert evaluated.out.rstrip().endswith(f"Report: {page}") and page.is_file()
    run = Path(shutil.copytree(evaluated.run, tmp_path / "walkers" / evaluated.run.name))
    page = run / "report.html"
    page.unlink()
    small = tmp_path / "small.html"
    again = keyreid("report", "--run", run, "--queries", 1, "-o", small)
    assert again.code == 0, again.err
    assert again.out.strip() == f"report: {small}" and not page.exists()
    assert keyreid("report", "--run", run, "--no-pictures").code == 0
    assert page.stat().st_size < small.stat().st_size


def test_report_of_a_run_without_scores_says_how_to_get_them(keyreid, tmp_path):
    result = keyreid("report", "--run", tmp_path)
    assert result.code == 2 and "run keyreid eval --run" in result.err
