"""Options of commands: one checked path into the configs, one name for one thing."""

from pathlib import Path

import click
import pytest

from pipeline.cli import COMMANDS
from pipeline.cli import keyreid as group
from pipeline.config import load_recipe
from pipeline.options import PATH, default_cache
from pipeline.recipe_file import Override

OLD = [
    ("synthesize walkers", "-o/--output"),
    ("synthesize -o walkers --cameras 3", "--num-cameras"),
    ("synthesize-videos -o street --cameras 1", "--num-cameras"),
    ("model-info --cameras 6", "--num-cameras"),
    ("demo --cameras", "--videos"),
    ("extract-poses --weights w.pth", "--pose-weights"),
    ("ablation --out x", "--output"),
    ("eval --out x", "--output"),
    ("eval --checkpoint x", "--run"),
    ("report runs/walkers/a", "--run"),
    ("report --out x", "--output"),
    ("train --resume runs/walkers/a", "--resume --run"),
    ("embed clips --checkpoint x -o g.h5 --run r", "--run"),
    ("embed clips --run x -o g.h5 --camera unknown", "--camera-mode"),
    ("export runs/walkers/a -o m.onnx --run r", "--run"),
    ("export --run r -o m.onnx --pose p.onnx", "--pose-output"),
    ("search --gallery g --query q --picture p.png", "--output"),
    ("doctor --report r.txt", "--output"),
    ("fit-pose --out x", "--output"),
    ("convert-weights a.pth b.safetensors -o b.safetensors", "--output"),
    ("import-mot --video v --tracks t --camera c clips -o clips", "--output"),
]


# Commands in which a network runs (export compares with torch on the CPU).
NETWORKS = {"extract-poses", "train", "eval", "report", "probe", "ablation", "demo", "track", "embed",
            "search", "fit-pose"}  # fmt: skip


@pytest.fixture
def call(keyreid, tmp_path, monkeypatch):
    """Commands in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return keyreid


def every_command() -> dict[str, click.Command]:
    found = {}
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        inner = getattr(command, "commands", {"": command})
        found |= {f"{name} {key}".strip(): value for key, value in inner.items()}
    return found


def test_a_data_set_that_set_changes_is_named_as_such(call):
    result = call("demo", "--set", "dataset.name=mars")
    assert "--dataset walkers: --set dataset.name is mars; leave out one" in result.err and result.code == 2


@pytest.mark.parametrize(("line", "new"), OLD, ids=lambda value: value)
def test_an_old_spelling_is_an_error_that_names_the_new_one(call, line, new):
    result = call(*line.split())
    assert result.code == 2 and "is now" in result.err and new in result.err, result


@pytest.mark.parametrize(("name", "command"), every_command().items(), ids=lambda value: str(value))
def test_one_name_means_one_thing_in_every_command(name, command):
    flags = {flag: option for option in command.params if not getattr(option, "hidden", False)
             for flag in option.opts}  # fmt: skip
    assert ("-o" in flags) == ("--output" in flags), name
    assert not {"--out", "--checkpoint", "--picture"} & set(flags), name
    assert ("--device" in flags) == (name in NETWORKS), name
    if "--weights" in flags:
        assert "Score these of the run" in flags["--weights"].help
    if "--camera" in flags:
        assert "Name of the camera" in flags["--camera"].help
    if "--cameras" in flags:
        assert "YAML file of cameras" in flags["--cameras"].help


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("train --set train.loader.workers=2147483648", "input should be less than or equal to 4096"),
        ("fit-pose --workers 4294967296", "--workers = '4294967296': input should be less than or equal to"),
        ("extract-poses --padding nan", "--padding = 'nan': input should be a finite number"),
        ("extract-poses --padding 9", "--padding = '9': input should be less than or equal to 4"),
        ("extract-poses --set pose.padding=.nan", "--set: pose.padding = nan: input should be a finite"),
        ("extract-poses --batch-size 0", "--batch-size = '0': input should be greater"),
        ("import-poses p.json --sigma inf", "--sigma = 'inf': input should be a finite number"),
        ("import-poses p.json --on-missing never", "--on-missing = 'never': input should be 'stop' or"),
        ("train --epochs 0", "--epochs = '0': input should be greater"),
        ("train --seed 99999999999999999999", "--seed = '99999999999999999999': input should be less"),
        ("train --seed " + "9" * 5000, "--seed = "),
        ("eval --bootstrap x", "--bootstrap = 'x': input should be a valid integer"),
        ("search --gallery g --query q --top 0", "--top = '0': input should be greater"),
        ("calibrate g.h5 --fpr 1", "--fpr = '1': input should be less than 1"),
        ("fit-pose --learning-rate nan", "--learning-rate = 'nan': input should be a finite number"),
        ("synthesize -o x --identities 5", "expected an even number"),
        ("import-mot --video v --tracks t --camera c -o o --size 0x4", "--size = '0x4': expected WIDTHx"),
        ("track v.avi -o o --camera c --fps 0", "--fps = '0': input should be greater than 0"),
        ("synthesize-videos -o o --start 2026-11-26T08:00:00", "a clock time without its offset from UTC"),
        ("synthesize-videos -o o --start 2026", "'2026' is not a clock time; expected one like"),
        ("track v.avi -o o --camera c --start 20261126", "'20261126' is not a clock time; expected one like"),
        ("report --queries 0", "--queries = '0': input should be greater"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_before_anything_is_read(call, line, says):
    result = call(*line.split())
    assert result.code == 2 and says in result.err, result
    assert len(result.err.splitlines()) == 1, result.err


def test_a_later_override_wins():
    given = Override(("train", "epochs"), "5", "--epochs")
    assert load_recipe("walkers", None, ["train.epochs=3", given]).train.epochs == 5


def test_pose_caches_of_ones_own_trees_are_named_by_the_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [
        default_cache("folder", Path(p)).name for p in ("mon/clips", "tue/clips", "./clips", "mon+clips")
    ]
    assert names == ["mon+clips", "tue+clips", "clips", "mon%2Bclips"]
    outside = default_cache("folder", tmp_path.parent / "clips")
    assert (
        outside.parent == Path("poses") and outside.name.startswith("+") and outside.name.endswith("+clips")
    )
    long = [default_cache("folder", Path("x" * 150, y, "é" * 120)).name for y in "ab"]
    assert long[0] != long[1] and all(len(name.encode()) < 200 for name in long)
    assert default_cache("mars", Path("mon/clips")) == Path("poses/mars")


def test_a_path_has_a_name_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "a/b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a/b")
    assert PATH(".") == tmp_path / "a/b" and PATH("..") == tmp_path / "a" and PATH("../x") == Path("../x")
    for bare in ("", "/", "//", "/.."):
        with pytest.raises(click.UsageError, match="expected a file or folder"):
            PATH(bare)
