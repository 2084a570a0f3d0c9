"""Options that set values of a config: type, range, default and help come from the config's field.

@click.command()
@config_options(CutConfig)                       # the command receives `config`
@setting(CutConfig, "quality")                   # --quality, checked by CutConfig alone
def command(config: CutConfig) -> None: ...
"""

import functools
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import click
from click.shell_completion import CompletionItem
from pydantic.fields import FieldInfo

from pipeline.recipe_file import Override, check
from stages.config import StrictModel

_NAMES = {int: "INTEGER", float: "FLOAT", Path: "PATH", str: "TEXT"}
_SIGNS = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))


class Setting(click.Option):
    """A value of a config, passed on as it was typed: the config (`model`) reads and checks it."""

    def __init__(self, declarations: list[str], *, model: type, key: str, field: FieldInfo, **more: Any):
        kind = _plain(field.annotation)
        self.model, self.key, self._field = model, key, field
        self.choices = [str(c) for c in get_args(kind)] if get_origin(kind) is Literal else []
        if kind is bool:
            more |= {"is_flag": True, "default": None}
        elif not more.get("metavar"):
            more["metavar"] = f"[{'|'.join(self.choices)}]" if self.choices else _NAMES.get(kind, "TEXT")
        more.setdefault("help", field.description and _sentence(field.description))
        super().__init__([*declarations, key.replace(".", "__")], **more)

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Range and default of the field, shown as click shows its own."""
        extra = super().get_help_extra(ctx)
        limits = {name: getattr(part, name) for part in self._field.metadata for name, _ in _SIGNS
                  if getattr(part, name, None) is not None}  # fmt: skip
        if limits:
            extra["range"] = ", ".join(f"{sign} {limits[name]}" for name, sign in _SIGNS if name in limits)
        default = self._field.default
        if (
            "." not in self.key
            and not self.is_flag
            and not self._field.is_required()
            and "Default" not in (self.help or "")
            and default not in (None, ())
        ):
            extra["default"] = _text(default)
        return extra

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Completes the values of a choice, and file names."""
        if self.choices:
            return [CompletionItem(c) for c in self.choices if c.startswith(incomplete)]
        return [CompletionItem(incomplete, type="file")] if self.metavar == "PATH" else []


def setting(model: type[StrictModel], key: str, *flags: str, **more: Any) -> Callable:
    """A click option for the value at the dotted key of a model.

    flags: default `--key`, its last word, with dashes. more: of click.Option, e.g. `help`, `multiple`. The
    default of a value in a section is not shown: the recipe decides.
    """
    *sections, last = key.split(".")
    section = model
    for name in sections:
        section = _plain(section.model_fields[name].annotation)
    flags = flags or ("--" + last.replace("_", "-"),)
    return click.option(*flags, cls=Setting, model=model, key=key, field=section.model_fields[last], **more)


def settings(model: type[StrictModel], *keys: str, **flags: str) -> Callable:
    """Several settings with the flags and texts that their fields give. flags: key="--other-flag"."""

    def decorate(function: Callable) -> Callable:
        for key in reversed(keys):
            function = setting(model, key, *([flags[key]] if key in flags else []))(function)
        return function

    return decorate


def taken(values: dict[str, Any], model: type[StrictModel]) -> tuple[Override, ...]:
    """Takes the settings of a model out of the values of the running command; those given, in order."""
    overrides = []
    for option in click.get_current_context().command.params:
        if isinstance(option, Setting) and option.model is model:
            value = values.pop(option.name)
            if value not in (None, ()):
                path = tuple(option.key.split("."))
                overrides.append(Override(path, list(value) if option.multiple else value, option.opts[-1]))
    return tuple(overrides)


def config_options(model: type[StrictModel], name: str = "config") -> Callable:
    """The command receives its settings, checked, as `config`; one that was not given is the default."""

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapped(**values: Any) -> Any:
            values[name] = check(model, {}, taken(values, model))
            return function(**values)

        return wrapped

    return decorate


def overrides_options(model: type[StrictModel]) -> Callable:
    """The command receives its settings as `overrides`, for a config that it has yet to read."""

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapped(**values: Any) -> Any:
            values["overrides"] = taken(values, model)
            return function(**values)

        return wrapped

    return decorate


def _sentence(description: str) -> str:
    """A field's description as the help of an option; of several sentences where it has parts.

    A first word with a colon is a value, or an address, and stays as it is typed.
    """
    first, *rest = description.removeprefix("* ").removesuffix(".").split("; default: ")
    if ":" not in first.split()[0]:
        first = first[0].upper() + first[1:]
    return ". ".join([first, *(f"Default: {text}" for text in rest)]) + "."


def _text(default: Any) -> str:
    """A default as one would type it."""
    if isinstance(default, tuple):
        return "x".join(map(str, default))
    return default.isoformat() if isinstance(default, datetime) else str(default)


def _plain(annotation: Any) -> Any:
    """The type of a field, None taken off."""
    inner = [a for a in get_args(annotation) if a is not NoneType]
    return inner[0] if NoneType in get_args(annotation) and len(inner) == 1 else annotation
