"""The configuration reference, from the pydantic models."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from pipeline.ablation import AblationConfig
from pipeline.config import Recipe
from stages.datasets.walkers.config import WalkersConfig
from stages.pose.config import EstimatorSpec
from stages.report.config import ReportConfig
from stages.tracks.config import CutConfig

HEAD = """# Configuration reference

A recipe is one YAML file in `configs/`, read into typed models. An unknown key or a value out of
range is an error that names file, key and what is allowed. Any value can be overridden on the
command line, by its dotted key: `--set train.epochs=3`. This page is made from the models.

"""
OTHERS = (
    ("Pose networks", "`configs/pose/NAME.yaml`, chosen by `pose.estimator`.", EstimatorSpec),
    ("Walkers", "The options of `keyreid synthesize`, with dashes for underscores.", WalkersConfig),
    ("Tracks", "The options of `keyreid import-mot`, with dashes for underscores.", CutConfig),
    ("Ablation", "`configs/ablation.yaml`, or another file given to `keyreid ablation`.", AblationConfig),
    ("Report", "How much a report shows (`stages.report.build.run`).", ReportConfig),
)
BOUNDS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}


def config_page() -> str:
    """The whole page as Markdown."""
    parts = [HEAD, "## Recipe\n\n"]
    schema = Recipe.model_json_schema()
    parts.append(_section(schema, schema, ""))
    for title, about, model in OTHERS:
        schema = model.model_json_schema()
        parts.append(f"## {title}\n\n{about}\n\n{_section(schema, schema, '')}")
    return "".join(parts)


def described(model: type[BaseModel]) -> dict[str, Mapping[str, Any]]:
    """Dotted key -> JSON schema of every value of a model, sections gone through."""
    schema = model.model_json_schema()
    fields: dict[str, Mapping[str, Any]] = {}

    def walk(section: Mapping[str, Any], before: str) -> None:
        for name, field in section.get("properties", {}).items():
            inner = _resolved(field, schema)
            if inner.get("properties"):
                walk(inner, f"{before}{name}.")
            else:
                fields[before + name] = field

    walk(schema, "")
    return fields


def _section(section: Mapping[str, Any], schema: Mapping[str, Any], before: str) -> str:
    rows, below = [], []
    for name, field in section["properties"].items():
        inner = _resolved(field, schema)
        key = f"{before}{name}"
        if inner.get("properties"):
            about = field.get("description") or inner.get("description", "")
            body = _section(inner, schema, f"{key}.")
            below.append(f"### `{key}`\n\n{_sentence(about)}\n\n{_more(field, inner)}{body}")
        else:
            required = name in section.get("required", ())
            default = "required" if required else f"`{_value(_default(field))}`"
            rows.append(
                f"| `{key}` | {_type(field, schema)} | {default} | {_cell(field.get('description', ''))} |"
            )
    table = "| key | type | default | what |\n|---|---|---|---|\n" + "\n".join(rows) + "\n\n" if rows else ""
    return table + "".join(below)


def _more(field: Mapping[str, Any], inner: Mapping[str, Any]) -> str:
    """The docstring of a section, where the field has a description of its own."""
    about = inner.get("description", "")
    return f"{_sentence(about)}\n\n" if about and field.get("description") else ""


def _resolved(field: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The model that a field refers to, or the field itself."""
    options = [field, *field.get("allOf", ()), *field.get("anyOf", ())]
    for option in options:
        if "$ref" in option:
            return schema["$defs"][option["$ref"].rsplit("/", 1)[1]]
    return field


def _type(field: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "$ref" in field:
        return _type(_resolved(field, schema), schema)
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(option, schema) for option in field["anyOf"]))
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kind = {"null": "null", "object": "mapping", "array": "list"}.get(
        field.get("type"), field.get("type", "any")
    )
    if field.get("format") == "path":
        kind = "path"
    if "prefixItems" in field:
        inner = [_type(item, schema) for item in field["prefixItems"]]
        return f"[{', '.join(inner)}]"
    if isinstance(field.get("items"), Mapping):
        kind = f"list of {_type(field['items'], schema)}"
    bounds = [text.format(field[key]) for key, text in BOUNDS.items() if key in field]
    if "pattern" in field:
        bounds.append(f"`{field['pattern']}`")
    return _cell(" ".join([kind, ", ".join(bounds)]).strip())


def _default(field: Mapping[str, Any]) -> Any:
    """A default from a factory is not in the schema: an empty mapping or list."""
    empty = {"object": {}, "array": []}.get(field.get("type", ""))
    return field.get("default", empty)


def _value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return _cell(str(value)) or '""'


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def _sentence(text: str) -> str:
    text = _cell(text)
    return text if text.endswith((".", "")) and text[-1:] == "." else f"{text}."
