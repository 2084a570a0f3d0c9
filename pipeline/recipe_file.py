"""Reads values of a config from a YAML file and the command line onto a typed model.

Every mistake is named by file or option, key, value and what is allowed.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from cache.border import reading, spelled
from cache.errors import KeyReIDError
from cache.text_files import load_yaml

Model = TypeVar("Model", bound=BaseModel)
MOST = 8  # problems of a config that an error names


@dataclass(frozen=True)
class Override:
    """A value from the command line. path: its key. option: `--set`, or the option that gave it."""

    path: tuple[str, ...]
    value: Any
    option: str = "--set"

    @property
    def key(self) -> str:
        """The dotted key."""
        return ".".join(self.path)


class _Loader(yaml.SafeLoader):
    """Refuses a key that a mapping has twice; YAML's own loader silently keeps the last."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)  # before `<<` merges anything into it
        seen = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)
            if name in seen:
                reason = f"the key {key.value!r} appears twice"
                raise yaml.constructor.ConstructorError(None, None, reason, key.start_mark)
            seen.add(name)
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. KeyReIDError for anything else."""
    with reading(path, missing="expected a config file"):
        return load_yaml(path, _Loader)


def parse_override(text: str) -> Override:
    """`train.epochs=3` -> its key and 3. The value is read as YAML."""
    key, equals, value = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise KeyReIDError(f"--set {text}: expected SECTION.KEY=VALUE, for example --set train.epochs=3")
    with reading(f"--set {text}", remedy="quote the value"):
        return Override(path, yaml.load(value, _Loader))


def _put(content: dict[str, Any], override: Override) -> None:
    """Set a value in place, with the sections above it."""
    *sections, last = override.path
    for depth, key in enumerate(sections, start=1):
        child = content.setdefault(key, {})
        if child is None:
            child = content[key] = {}
        if not isinstance(child, dict):
            where = ".".join(override.path[:depth])
            raise KeyReIDError(f"--set {override.key}: {where} is the value {child!r}, not a section")
        content = child
    content[last] = override.value


def load(model: type[Model], path: Path, overrides: Iterable[Override] = ()) -> Model:
    """The config in a file, with overrides. Raises KeyReIDError with one line that names every problem."""
    return check(model, read_yaml(path), overrides, str(path))


def changed(config: Model, overrides: Iterable[Override]) -> Model:
    """A config with values replaced, and checked again."""
    return check(type(config), config.model_dump(mode="json"), overrides, "config")


def check(
    model: type[Model],
    content: dict[str, Any],
    overrides: Iterable[Override] = (),
    source: str = "command line",
) -> Model:
    """Content, changed by overrides, checked against model. source: where content is from, for errors."""
    overrides = tuple(overrides)
    for override in overrides:
        _put(content, override)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = [_describe(model, problem, source, overrides) for problem in error.errors()[:MOST]]
        more = error.error_count() - len(problems)
        raise KeyReIDError(spelled("; ".join(problems)) + (f"; and {more} more" if more else "")) from None


def _describe(
    model: type[BaseModel], problem: dict[str, Any], source: str, overrides: tuple[Override, ...]
) -> str:
    loc = [str(part) for part in problem["loc"]]
    key = ".".join(loc)[:200]
    given = next((o for o in reversed(overrides) if f"{key}.".startswith(f"{o.key}.")), None)
    if given is not None:
        source = given.option
    name = "" if given is not None and source != "--set" else f": {key}" if key else ""
    if problem["type"] == "extra_forbidden":
        allowed = sorted(_fields_at(model, loc[:-1]))
        close = difflib.get_close_matches(loc[-1], allowed, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{source}{name}: unknown key; {hint}allowed: {', '.join(allowed)}"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:600]
    if problem["type"] == "missing" or not key:  # a whole section has no value to show
        return f"{source}{name}: {'missing; ' if problem['type'] == 'missing' else ''}{message}"
    value = repr(problem["input"])
    return f"{source}{name} = {value if len(value) <= 80 else value[:77] + '...'}: {message}"


def _fields_at(model: type[BaseModel], loc: list[str]) -> set[str]:
    """The keys that the model takes at a place in the config; empty where that is free-form."""
    current: Any = model
    for part in loc:
        fields = getattr(current, "model_fields", {})
        if part not in fields:
            return set()
        annotation = fields[part].annotation
        candidates = [annotation, *get_args(annotation)]
        current = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
    return set(getattr(current, "model_fields", {}))
