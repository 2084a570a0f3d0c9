"""Options made from fields of a config: default, range, choices and checks are the field's."""

import re
from typing import Literal

import click
import pytest
from click.shell_completion import CompletionItem
from click.testing import CliRunner
from pydantic import Field

from cache.errors import KeyReIDError
from pipeline.settings import Setting, config_options, overrides_options, setting, settings
from stages.config import StrictModel
from tests.pipeline.test_options import every_command


class Loader(StrictModel):
    workers: int = Field(2, ge=0, le=8, description="reading processes")


class Options(StrictModel):
    quality: int = Field(90, gt=0, le=100, description="of the JPEG file")
    mode: Literal["fast", "exact"] = "fast"
    scale: float | None = Field(None, ge=1)
    rates: tuple[float, ...] = (0.1,)
    mirror: bool = False
    loader: Loader = Loader()


@click.command()
@config_options(Options)
@settings(Options, "quality", "mode", "scale", "mirror")
@setting(Options, "rates", "--rate", multiple=True)
@setting(Options, "loader.workers")
def command(config: Options) -> None:
    click.echo(config.model_dump_json())


def call(*words: str) -> Options:
    result = CliRunner(catch_exceptions=False).invoke(command, words)
    assert result.exit_code == 0, result.output
    return Options.model_validate_json(result.output)


def test_what_is_not_given_has_the_default_of_its_field():
    assert call() == Options()


def test_values_reach_their_field_as_its_type_also_in_a_section():
    words = ("--quality", "7", "--mode", "exact", "--scale", "1.5", "--mirror", "--workers", "3")
    expected = Options(quality=7, mode="exact", scale=1.5, mirror=True, loader=Loader(workers=3))
    assert call(*words) == expected
    assert call("--rate", "0.5", "--rate", "0.25").rates == (0.5, 0.25)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--quality", "0"), r"--quality = '0': input should be greater than 0"),
        (("--scale", "nan"), r"--scale = 'nan': input should be a finite number"),
        (("--mode", "slow"), r"--mode = 'slow': input should be 'fast' or 'exact'"),
        (("--workers", "9"), r"--workers = '9': input should be less than or equal to 8"),
    ],
)
def test_a_wrong_value_names_its_option(words, message):
    with pytest.raises(KeyReIDError, match=message):
        call(*words)


def test_help_shows_text_range_choices_and_default_of_the_field():
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "--quality INTEGER Of the JPEG file. [default: 90; > 0, <= 100]" in text
    assert "--mode [fast|exact] [default: fast]" in text
    assert "--workers INTEGER Reading processes. [>= 0, <= 8]" in text  # a recipe decides its default


@pytest.mark.parametrize(("name", "made"), every_command().items(), ids=lambda value: str(value))
def test_helps_end_in_one_full_stop(name, made):
    helps = [getattr(p, "help", None) or "" for p in made.params]
    assert [text for text in helps if re.search(r"(?<!\.)\.\.$", text)] == []


def test_a_value_that_begins_a_help_is_as_it_is_typed():
    helps = [getattr(p, "help", None) or "" for p in every_command()["synthesize"].params]
    assert [text for text in helps if text.startswith("hard: passers-by")]


def test_the_shell_completes_choices():
    (mode,) = (p for p in command.params if isinstance(p, Setting) and p.key == "mode")
    found = mode.shell_complete(click.Context(command), "ex")
    assert [item.value for item in found] == ["exact"] and isinstance(found[0], CompletionItem)


def test_overrides_come_in_the_order_of_the_options_for_a_config_that_is_read_later():
    seen = []

    @click.command()
    @overrides_options(Options)
    @settings(Options, "quality", "mode")
    def other(overrides):
        seen.extend(overrides)

    assert (
        CliRunner(catch_exceptions=False).invoke(other, ["--mode", "exact", "--quality", "5"]).exit_code == 0
    )
    assert [(o.path, o.value, o.option) for o in seen] == [
        (("quality",), "5", "--quality"),
        (("mode",), "exact", "--mode"),
    ]
