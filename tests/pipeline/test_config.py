"""A recipe is read strictly, and every mistake is named."""

import json
import math
from pathlib import Path
from typing import get_args, get_origin

import pytest
import yaml
from click.testing import CliRunner
from pydantic import ValidationError

from cache.differences import differing
from cache.errors import KeyReIDError
from pipeline.cli import COMMANDS, keyreid
from pipeline.config import CONFIGS, load_recipe
from pipeline.recipe_file import parse_override, read_yaml
from stages.config import StrictModel
from stages.datasets.walkers.config import WalkersConfig
from stages.pose.config import EstimatorSpec
from stages.pose.fit_config import FitConfig
from stages.pose.import_config import ImportConfig
from stages.tracks.config import CropConfig

RECIPES = sorted(path for path in CONFIGS.glob("*.yaml") if path.stem != "ablation")


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_that_we_ship_is_valid(path: Path):
    assert load_recipe(None, path).dataset.name


def lines_of_keys(node: yaml.Node, prefix: str = "") -> dict[str, int]:
    """The line, from 0, of every dotted key of a YAML mapping that has no keys below it."""
    if not isinstance(node, yaml.MappingNode):
        return {}
    found = {}
    for key, value in node.value:
        name = prefix + key.value
        found |= lines_of_keys(value, f"{name}.") or {name: key.start_mark.line}
    return found


def test_every_difference_of_our_mars_recipe_from_the_published_one_has_its_comment_and_nothing_else_has():
    ours, published = (
        load_recipe("mars", CONFIGS / f"{name}.yaml").model_dump(mode="json")
        for name in ("mars", "mars-published")
    )
    different = {key for key, _, _ in differing(ours, published)}
    text = (CONFIGS / "mars.yaml").read_text()
    lines = text.splitlines()
    commented = {key for key, line in lines_of_keys(yaml.compose(text)).items() if "  # " in lines[line]}
    assert commented == different


def test_an_override_reaches_its_field():
    assert load_recipe("walkers", overrides=["train.epochs=3"]).train.epochs == 3


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.epoch=3", ["train.epoch", "unknown key", "did you mean 'epochs'"]),
        ("train.epochs=many", ["train.epochs = 'many'", "integer"]),
        ("train.epochs=-1", ["train.epochs = -1", "greater than"]),
        ("nothing.at.all=1", ["nothing", "unknown key", "allowed: "]),
        ("train", ["SECTION.KEY=VALUE"]),
        ("dataset.name.x=1", ["dataset.name", "not a section"]),
        ("model.tcss=sideways", ["model.tcss = 'sideways'", "'time'"]),
        ("train.epochs=[", ["not valid YAML"]),
        ("train.optim.clip_norm=.inf", ["train.optim.clip_norm = inf", "finite number"]),
        ("train.augment.erase_aspect=[0.3, nan]", ["train.augment.erase_aspect", "finite number"]),
    ],
)
def test_a_wrong_override_is_named_with_what_is_allowed(override, words):
    with pytest.raises(KeyReIDError) as caught:
        load_recipe("walkers", overrides=[override])
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize("value", [math.nan, math.inf, "-inf"])
def test_every_number_of_every_config_has_to_be_finite(value):
    sections = StrictModel.__subclasses__()
    assert {CropConfig, ImportConfig, FitConfig, WalkersConfig, EstimatorSpec} < set(sections)
    for section in sections:
        fields = section.model_fields.items()
        numbers = {
            name: f.annotation for name, f in fields if float in (f.annotation, *get_args(f.annotation))
        }
        given = {
            name: [value, value] if get_origin(kind) is tuple else value for name, kind in numbers.items()
        }
        with pytest.raises(ValidationError) as caught:
            section.model_validate(given | {"unknown": 0})
        refused = {e["loc"][0] for e in caught.value.errors() if e["type"] == "finite_number"}
        assert refused == set(numbers), section


def test_a_mapping_is_merged_twice_and_its_values_replaced(tmp_path):
    path = tmp_path / "merged.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: &b\n  <<: *a\n  x: 3\nc:\n  <<: *b\n  y: 4\n1: one\n'1': other\n")
    content = read_yaml(path)
    assert content["c"] == {"x": 3, "y": 4} and content[1] != content["1"]
    with pytest.raises(KeyReIDError, match="the key 'ratio' appears twice"):
        parse_override("model.backbone_args={ratio: 1, ratio: 2}")


def test_a_number_that_is_none_is_refused_by_its_option(tmp_path):
    words = f"import-mot --video v.avi --tracks t.txt --camera a -o {tmp_path}/out".split()
    for option in ("--min-confidence", "--pad-width", "--pad-height"):
        result = CliRunner().invoke(keyreid, [*words, option, "nan"])
        assert str(result.exception).startswith(f"{option} = 'nan': input should be a finite number")


def test_keys_of_a_file_are_spelled_out_on_one_short_line(tmp_path: Path):
    path = tmp_path / "r.yaml"
    path.write_text(json.dumps({"\x1b[31m\n": 1, "x" * 900: 1} | {f"k{number}": 1 for number in range(50)}))
    with pytest.raises(KeyReIDError, match=r": \\x1b\[31m\\n: unknown key; .*; and 45 more$") as error:
        load_recipe("walkers", path)
    assert str(error.value).isprintable() and len(str(error.value)) < 2500


def test_a_mistake_in_a_file_names_the_file(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("dataset: {name: walkers}\ntrain: {epochs: soon}\n")
    with pytest.raises(KeyReIDError, match=r"mine\.yaml: train\.epochs = 'soon'"):
        load_recipe(None, path)


@pytest.mark.parametrize("text", ["[1, 2]", "a: b: c", "\x00", "just words"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(KeyReIDError, match=r"mine\.yaml"):
        load_recipe(None, path)


def test_an_unknown_data_set_lists_the_known_ones():
    with pytest.raises(KeyReIDError, match=r"known: .*mars"):
        load_recipe("no-such-set")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_has_help(name: str):
    result = CliRunner().invoke(keyreid, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert len(result.output.splitlines()) > 5
