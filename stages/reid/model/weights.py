"""A network on disk: weights as safetensors, and beside them a JSON file that says what they are."""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cache.border import reading
from cache.differences import differing
from cache.errors import KeyReIDError
from cache.files import write_whole, writing
from cache.text_files import load_json
from stages.config import Record
from stages.reid.model.config import ModelConfig
from stages.reid.model.keyreid import KeyReID
from stages.weights_file import finite

FORMAT = 2  # 1: the network whose parts read rows of T tokens
SHOWN = 20  # differences named in an error; the rest is counted


class _Data(Record):
    tracklets: str | None = None
    frames: str | None = None


class _Origin(Record):
    """What is read back of the extra values in the JSON file beside weights."""

    dataset: str | None = None
    split: int | None = None
    data: _Data | None = None
    pose_cache: str | None = None
    cameras: list[int] | None = None


DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}


def save_model(model: KeyReID, path: Path, **extra: Any) -> Path:
    """Write `path` (.safetensors) and the .json of the same name; both appear complete or not at all.

    extra: JSON values to keep with the network, such as epoch and data set. Returns path. Raises KeyReIDError
    for weights that are not finite.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    description = describe(model)
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    _refuse_not_finite(path, tensors)
    # One entry: safetensors writes several in any order, and the same weights are to be the same bytes.
    metadata = {"keyreid": json.dumps(description, sort_keys=True)}
    with writing(path) as aside:
        save_file(tensors, aside, metadata=metadata)
        aside.chmod(0o644)  # safetensors writes it for its owner alone
    text = json.dumps({"format": FORMAT, **description, "extra": extra}, indent=2)
    write_whole(path.with_suffix(".json"), (text + "\n").encode())
    return path


def load_model(path: Path, config: ModelConfig | None = None) -> tuple[KeyReID, dict[str, Any]]:
    """Rebuild the network that `save_model` wrote, in evaluation mode, with its extra values.

    config: what the caller expects. Raises KeyReIDError that lists the differences when a file is
    missing or damaged, belongs to another config, or lacks entries, has more, or other shapes.
    """
    path = Path(path)
    described, extra = _read_description(path.with_suffix(".json"))
    stored, header = _read_header(path)
    if header and header != described:
        raise KeyReIDError(
            f"checkpoint {path}: weights and {path.with_suffix('.json').name} do not belong together "
            f"({listed(mismatches(described, header))}); keep the two files of one checkpoint"
        )
    its_config = _parse_config(described["config"], path)
    if config is not None:
        refuse_other_config(path, expected=config, actual=its_config)
    sizes = described["num_persons"], described["num_cameras"]
    with torch.device("meta"):
        model = KeyReID(its_config, *sizes)
    own = {
        name: (DTYPES.get(value.dtype, str(value.dtype)), tuple(value.shape))
        for name, value in model.state_dict().items()
    }
    wrong = entry_mismatches(own, stored)
    if wrong:
        raise KeyReIDError(f"checkpoint {path}: not the weights of its config: {listed(wrong)}")
    if {name for name, _ in model.named_buffers()} - stored.keys():
        model = KeyReID(its_config, *sizes)  # some backbones compute buffers that no file holds
    with safe_open(path, framework="pt") as file:
        # Owned copies: tensors of an open file are views of it.
        tensors = {name: file.get_tensor(name).clone() for name in stored}
    _refuse_not_finite(path, tensors)
    model.load_state_dict(tensors, assign=True)
    return model.eval(), extra


def _refuse_not_finite(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    broken = sorted(name for name, value in tensors.items() if not finite(value))
    if broken:
        raise KeyReIDError(f"checkpoint {path}: values that are not finite in {listed(broken)}; train again")


def describe(model: KeyReID) -> dict[str, Any]:
    """Config and sizes of a network as JSON values, without where its start weights came from."""
    config = model.config.model_copy(update={"pretrained": False, "vit_path": None})
    return {
        "config": config.model_dump(mode="json"),
        "num_persons": model.num_persons,
        "num_cameras": model.num_cameras,
    }


def refuse_other_config(
    path: Path, expected: ModelConfig, actual: ModelConfig, only: Collection[str] | None = None
) -> None:
    """Raise KeyReIDError when two configs describe different networks; start weights do not count.

    only: dotted keys to compare; default: all.
    """
    left, right = ({**c.model_dump(mode="json"), "tcss": c.tcss_mode} for c in (expected, actual))
    for start in ("pretrained", "vit_path"):
        del left[start], right[start]
    wrong = mismatches(left, right, only)
    if wrong:
        raise KeyReIDError(f"checkpoint {path}: trained with another config: {listed(wrong)}")


def stored_config(path: Path) -> ModelConfig:
    """The config of a checkpoint, without its weights. Errors as `load_model`."""
    described, _ = _read_description(Path(path).with_suffix(".json"))
    return _parse_config(described["config"], path)


def mismatches(expected: Mapping, stored: Mapping, only: Collection[str] | None = None) -> list[str]:
    """Leaves in which two nested mappings differ, in words. only: dotted keys of leaves or whole sections."""
    return [
        f"{name} is {right!r}, expected {left!r}"
        for name, left, right in differing(expected, stored)
        if only is None or any(f"{name}.".startswith(f"{k}.") or k.startswith(f"{name}.") for k in only)
    ]


def entry_mismatches(expected: Mapping[str, tuple], actual: Mapping[str, tuple]) -> list[str]:
    """Missing, further and unlike entries of a state dict, each entry being (dtype, shape)."""
    lines = [f"{name} is missing" for name in expected if name not in actual]
    lines += [f"{name} is not part of the network" for name in actual if name not in expected]
    for name in expected.keys() & actual.keys():
        if expected[name] != actual[name]:
            lines.append(f"{name} is {_words(actual[name])}, expected {_words(expected[name])}")
    return sorted(lines)


def listed(lines: Iterable[str]) -> str:
    """Differences on one line; beyond the first ones, their number."""
    lines = list(lines)
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "; ".join(lines[:SHOWN] + more)


def _words(entry: tuple) -> str:
    return f"{entry[0]} {list(entry[1])}"


def _read_description(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    if not path.is_file():
        raise KeyReIDError(f"checkpoint {path}: no such file; a checkpoint is .safetensors and .json")
    with reading(f"checkpoint {path}", "the description of a checkpoint"):
        data = load_json(path)
        described = {key: data[key] for key in ("config", "num_persons", "num_cameras")}
        for key in ("num_persons", "num_cameras"):
            if type(described[key]) is not int:
                raise ValueError(f"{key} is {described[key]!r}, expected a whole number")
        with reading(f"checkpoint {path}: extra"):
            _Origin.model_validate(data.get("extra", {}))
    if data.get("format") == 1:
        raise KeyReIDError(
            f"checkpoint {path}: trained by an earlier version of the network; train again, or use the "
            "version that made it"
        )
    if data.get("format") != FORMAT:
        raise KeyReIDError(f"checkpoint {path}: format {data.get('format')!r}, this program reads {FORMAT}")
    return described, data.get("extra", {})


def _read_header(path: Path) -> tuple[dict[str, tuple], dict[str, Any]]:
    if not path.is_file():
        raise KeyReIDError(f"checkpoint {path}: no such file")
    with reading(f"checkpoint {path}", "a whole safetensors file"), safe_open(path, framework="pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  not a dict
        stored = {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
        header = json.loads((file.metadata() or {}).get("keyreid", "{}"))
        if not isinstance(header, dict):
            raise ValueError(f"its header is {header!r}, expected an object")
        return stored, header


def _parse_config(values: Any, path: Path) -> ModelConfig:
    with reading(f"checkpoint {path}: config", remedy="use the version of keyreid that trained it"):
        return ModelConfig.model_validate(values)
