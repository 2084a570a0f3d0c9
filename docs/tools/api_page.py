"""The Python reference, from signatures and docstrings."""

import dataclasses
import importlib
import inspect
import re
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

HEAD = """# Python reference

What scripts may rely on. Everything else can change. This page is made from the docstrings.

"""
# What is shown, by the name to import; of a class, the methods named behind it.
SHOWN: dict[str, dict[str, tuple[str, ...]]] = {
    "Data sets": {
        "stages.datasets.load_dataset": (),
        "stages.datasets.Tracklet": (),
        "stages.datasets.Dataset": ("tracklets", "test_tracklets", "frames", "cameras"),
    },
    "Pose cache": {
        "cache.PoseCache": ("open", "read", "read_heatmaps", "missing", "frames"),
        "cache.reader.Poses": (),
        "cache.errors.KeyReIDError": (),
    },
    "Stages": {
        "stages.datasets.walkers.make.run": (),
        "stages.pose.extract.run": (),
        "stages.reid.train.run": (),
        "stages.reid.evaluate.run": (),
        "stages.report.build.run": (),
        "stages.report.cards.Source": (),
    },
    "Network": {
        "stages.reid.model.KeyReID": ("forward", "embed"),
        "stages.reid.model.ClipOutput": (),
        "stages.reid.model.load_published": (),
        "stages.reid.model.weights.load_model": (),
        "stages.reid.model.weights.save_model": (),
    },
    "Your own video and tracklets": {
        "stages.tracks.run": (),
        "stages.tracks.CutConfig": (),
        "stages.reid.Embedder": ("embed", "gallery", "query"),
        "stages.reid.scoring.embeddings.Embeddings": ("load", "save"),
        "stages.reid.scoring.joining.join": (),
        "stages.reid.embed.run": (),
        "stages.reid.append.run": (),
        "stages.reid.embed_config.EmbedConfig": (),
        "stages.reid.search.gallery_merge.merge": (),
    },
    "Search": {
        "stages.reid.search.search.search": (),
        "stages.reid.answer.run": (),
        "stages.reid.search.config.SearchConfig": (),
        "stages.reid.scoring.ranking.Ranking": (),
        "stages.reid.search.search.find_query": (),
        "stages.reid.link.run": (),
        "stages.reid.link.Corrections": (),
        "stages.reid.search.config.LinkConfig": (),
        "stages.reid.calibrate.run": (),
        "stages.reid.search.calibration.calibrate": (),
        "stages.reid.search.calibration.save": (),
        "stages.reid.search.calibration.threshold": (),
    },
    "Export": {
        "stages.export.network.export": (),
        "stages.export.network.ClipEmbedding": (),
        "stages.export.pose.export": (),
        "stages.export.pose.Heatmaps": (),
    },
    "Scores": {
        "stages.reid.metrics.score_ranking": (),
        "stages.reid.metrics.RankingScores": (),
        "stages.reid.evaluate.run": (),
        "stages.reid.scoring.embeddings.TestSet": (),
        "stages.reid.scoring.rerank.reranked_rows": (),
    },
}


def api_page() -> str:
    """The whole page as Markdown. Raises AttributeError for a name that is no longer there."""
    parts = [HEAD]
    for title, names in SHOWN.items():
        parts.append(f"## {title}\n\n")
        for name, methods in names.items():
            thing = find(name)
            parts.append(_entry(name, thing, 3))
            parts += [
                _entry(f"{name.rsplit('.', 1)[1]}.{m}", inspect.getattr_static(thing, m), 4) for m in methods
            ]
    return "".join(parts)


def find(name: str) -> Any:
    """The object of a dotted name."""
    module, attribute = name.rsplit(".", 1)
    return getattr(importlib.import_module(module), attribute)


def _entry(name: str, thing: Any, level: int) -> str:
    thing = thing.__func__ if isinstance(thing, classmethod | staticmethod) else thing
    last = name.rsplit(".", 1)[1]
    code = _class(last, thing) if inspect.isclass(thing) else f"def {last}{_signature(thing)}"
    text = inspect.cleandoc(thing.__doc__ or "")
    return f"{'#' * level} `{name}`\n\n```python\n{code}\n```\n\n```text\n{text}\n```\n\n"


def _class(name: str, thing: type) -> str:
    fields = getattr(thing, "_fields", None)
    if issubclass(thing, BaseModel):
        lines = [_model_field(name, field) for name, field in thing.model_fields.items()]
    elif dataclasses.is_dataclass(thing):
        lines = [f"    {f.name}: {_short(f.type)}" for f in dataclasses.fields(thing)]
    elif fields:
        lines = [f"    {field}: {_short(thing.__annotations__[field])}" for field in fields]
    elif thing.__init__ is not object.__init__ and not issubclass(thing, Exception):
        return f"class {name}{_signature(thing.__init__)}"
    else:
        return f"class {name}({thing.__base__.__name__})"
    return f"class {name}:\n" + "\n".join(lines)


def _model_field(name: str, field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    value = f" = {default!r}" if not field.is_required() else ""
    return f"    {name}: {_short(field.annotation)}{value}  # {field.description}"


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    parts = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    one = _short(signature.replace(parameters=parts))
    if len(one) <= 90:
        return one
    lines = "".join(f"    {_short(p)},\n" for p in parts)
    end = (
        "" if signature.return_annotation is inspect.Signature.empty else _short(signature.return_annotation)
    )
    return f"(\n{lines})" + (f" -> {end}" if end else "")


def _short(annotation: Any) -> str:
    text = annotation.__name__ if inspect.isclass(annotation) else str(annotation)
    text = re.sub(r"(^|: |-> )'([^']*)'", r"\1\2", text)  # names that are resolved later
    text = re.sub(r"<function (\w+) at 0x[0-9a-f]+>", r"\1", text)  # defaults
    return re.sub(r"\b(?:[A-Za-z_]\w*\.)+(\w+)", r"\1", text)
