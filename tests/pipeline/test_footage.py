"""How `keyreid embed` reads a data set: as its run did, but as the command line says."""

from pathlib import Path

import pytest
import yaml

from pipeline.footage import Footage


@pytest.fixture
def run(tmp_path):
    trained = {"name": "market1501", "tracklets": "sequence", "root": str(tmp_path / "data"), "list": "a.csv"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"dataset": trained}))
    (tmp_path / "model.safetensors").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "root", "own", "given", "expected"),
    [
        ("market1501", "data", False, {}, ("sequence", Path("a.csv"), None)),
        ("market1501", "else", False, {}, ("sequence", None, None)),
        ("market1501", "data", False, {"list": Path("b.csv"), "split": 3}, ("sequence", Path("b.csv"), 3)),
        ("market1501", "data", True, {"list": None}, (None, None, None)),
        ("mars", "data", False, {"split": 1}, (None, None, 1)),
    ],
)
def test_a_data_set_is_read_as_by_the_run_unless_said_otherwise(run, name, root, own, given, expected):
    footage = Footage(own, name, run / root, given.get("split"), given.get("list"), "all", run)
    found = footage.settings(run)
    assert found.name == name and (found.tracklets, found.list, found.split) == expected
