"""Reads a YAML recipe onto a typed model; every mistake is named by file, key, value and what is allowed."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from cache.errors import KeyReIDError

Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Refuses a key that a mapping has twice; YAML's own loader silently keeps the last."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)  # before `<<` merges anything into it
        seen = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)
            if name in seen:
                reason = f"the key {key.value!r} is there twice"
                raise yaml.constructor.ConstructorError(None, None, reason, key.start_mark)
            seen.add(name)
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. KeyReIDError for anything else."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise KeyReIDError(f"{path}: no such config file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise KeyReIDError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise KeyReIDError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise KeyReIDError(f"{path}: expected a mapping of sections, found {type(content).__name__}")
    return content


def parse_override(text: str) -> tuple[list[str], Any]:
    """`train.epochs=3` -> (["train", "epochs"], 3). The value is read as YAML."""
    key, equals, value = text.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise KeyReIDError(f"--set {text}: expected SECTION.KEY=VALUE, for example --set train.epochs=3")
    try:
        return path, yaml.load(value, _Loader)
    except yaml.YAMLError as error:
        raise KeyReIDError(
            f"--set {text}: the value is not valid YAML: {' '.join(str(error).split())}"
        ) from None


def merge(base: dict[str, Any], path: list[str], value: Any) -> None:
    """Put value at path, in place. A mapping is merged into a mapping, anything else replaces."""
    for step, key in enumerate(path[:-1]):
        child = base.setdefault(key, {})
        if child is None:
            child = base[key] = {}
        if not isinstance(child, dict):
            where = ".".join(path[: step + 1])
            raise KeyReIDError(f"--set {'.'.join(path)}: {where} is the value {child!r}, not a section")
        base = child
    base[path[-1]] = value


def load(model: type[Model], path: Path, overrides: Iterable[str] = ()) -> Model:
    """Read path, apply `--set` overrides, check against model.

    Raises KeyReIDError with one line that names every problem.
    """
    content = read_yaml(path)
    overridden = set()
    for text in overrides:
        keys, value = parse_override(text)
        merge(content, keys, value)
        overridden.add(".".join(keys))
    return check(model, content, str(path), overridden)


def check(
    model: type[Model], content: dict[str, Any], source: str, overridden: set[str] | None = None
) -> Model:
    """Check content against model; source is named in errors, except for the keys that were overridden."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = [_describe(model, problem, source, overridden or set()) for problem in error.errors()]
        raise KeyReIDError("; ".join(problems)) from None


def _describe(model: type[BaseModel], problem: dict[str, Any], source: str, overridden: set[str]) -> str:
    loc = [str(part) for part in problem["loc"]]
    key = ".".join(loc) or "(whole file)"
    if any(key == o or key.startswith(o + ".") for o in overridden):
        source = "--set"
    if problem["type"] == "extra_forbidden":
        allowed = sorted(_fields_at(model, loc[:-1]))
        close = difflib.get_close_matches(loc[-1], allowed, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{source}: {key}: unknown key; {hint}allowed: {', '.join(allowed)}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"{source}: {key}: missing; {message}"
    value = repr(problem["input"])
    value = value if len(value) <= 80 else value[:77] + "..."
    return f"{source}: {key} = {value}: {message[0].lower() + message[1:]}"


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
