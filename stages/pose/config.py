"""Config of stage one: how to run (PoseConfig) and which network (EstimatorSpec)."""

from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

import configs
from cache.border import reading
from cache.errors import KeyReIDError
from cache.text_files import load_yaml
from stages.config import StrictModel
from stages.precision import Precision

MOST = 2**20  # bytes of an estimator file
SPECS = Path(configs.__file__).resolve().parent / "pose"


# Keys of a model section by which mmengine imports packages, runs files or unpickles weights.
RUNNING = {
    "_base_",
    "_scope_",
    "custom_imports",
    "metainfo",
    "from_file",
    "init_cfg",
    "pretrained",
    "checkpoint",
}


class PoseConfig(StrictModel):
    """How stage one runs. Fields marked * are fixed per cache: another value needs `force`."""

    estimator: str = Field(
        "hrnet-w32-256x192", description="* name of a file in configs/pose/, or path of such a YAML file"
    )
    weights: Path | None = Field(None, description="* weights file instead of the one the estimator names")
    padding: float | None = Field(
        None,
        ge=1.0,
        le=4.0,
        description="* frame grown by this factor before it fills the input; None: estimator's",
    )
    flip_test: bool = Field(False, description="* average with the mirrored frame: twice the work")
    batch_size: int | None = Field(
        None, ge=1, description="* frames per forward, filled up to a multiple of 16; None: 32 (GPU: 128)"
    )
    shard_frames: int | None = Field(
        None, ge=1, description="* frames per shard, up to a tracklet's end; None: a 32nd, in 64..2048"
    )
    threads: int | None = Field(
        None, ge=1, le=4096, description="* threads of the network per worker; None: 1 (GPU: 4)"
    )
    workers: int | None = Field(
        None, ge=1, le=4096, description="local processes, each with `threads`; None: fill the cores"
    )
    device: str = Field("auto", description="* cpu, cuda, cuda:1, ...; auto: cuda where there is one")
    precision: Precision = Field(
        "auto",
        description="* number format of the network; auto: fp16 on a GPU, bf16 on a CPU with AMX, else fp32",
    )
    scheduler: str | None = Field(
        None, description="tcp://host:port of a Dask scheduler to run the shards on"
    )
    on_bad_frame: Literal["stop", "zero"] = Field(
        "stop", description="* unreadable frames: stop with their list, or record them and give zero heat"
    )
    force: bool = Field(
        False, description="throw away a cache that was made with different settings, and redo all of it"
    )

    @model_validator(mode="before")
    @classmethod
    def _earlier(cls, given: Any) -> Any:
        """`half`, in the configs of earlier runs."""
        if not isinstance(given, dict) or "half" not in given:
            return given
        half, rest = given["half"], {key: value for key, value in given.items() if key != "half"}
        if half:
            raise ValueError("half is now precision: give fp16 or bf16")
        return rest if half is None else {"precision": "fp32"} | rest


class WeightsFile(StrictModel):
    """A weights file: beside the YAML file, in the weights folder, or fetched into it."""

    file: str = Field(
        pattern=r"^[\w.+ -]*[\w+-][\w.+ -]*$",
        description="file name, without folders (.pth as mmpose publishes it, or .safetensors)",
    )
    url: str | None = Field(None, description="where it can be fetched; None: nowhere")
    sha256: str = Field(
        "", pattern="^[0-9a-f]{0,64}$", description="SHA-256 of the file, or its first digits"
    )


class EstimatorSpec(StrictModel):
    """A pose network: one of mmpose's own config files, or its `model` section written out."""

    name: str = Field(description="name of the YAML file, without suffix")
    folder: Path = Field(description="folder of the YAML file")
    mmpose_config: str | None = Field(
        None,
        pattern=r"^([\w+-]+/)*[\w+.-]+\.py$",  # mmengine runs the file
        description="config file of mmpose, under its configs/ folder",
    )
    model: dict[str, Any] | None = Field(
        None, description="mmpose model (data_preprocessor, backbone, head), laid over that file's"
    )
    padding: float = Field(1.0, ge=1.0, le=4.0, description="the frame is grown by this to fill the input")
    weights: WeightsFile = Field(description="trained weights")

    @model_validator(mode="after")
    def _some_network(self) -> "EstimatorSpec":
        if self.mmpose_config is None and self.model is None:
            raise ValueError("give mmpose_config (a file of mmpose) or model (its model section), or both")
        return self

    @field_validator("model")
    @classmethod
    def _only_a_network(cls, model: dict[str, Any] | None) -> dict[str, Any] | None:
        _refuse_what_runs(model, "model")
        return model


def _refuse_what_runs(section: Any, where: str) -> None:
    """Raise ValueError where a model section would make mmpose import a module, or read a file."""
    if isinstance(section, list):
        for number, value in enumerate(section):
            _refuse_what_runs(value, f"{where}.{number}")
    elif isinstance(section, dict):
        for key, value in section.items():
            if key in RUNNING:
                raise ValueError(
                    f"{where}.{key} is not allowed: it names a file or a package that mmpose reads"
                )
            if key == "type" and not (isinstance(value, str) and value.isidentifier()):
                raise ValueError(f"{where}.type {value!r} is not the name of a class of mmpose")
            _refuse_what_runs(value, f"{where}.{key}")


@cache
def load_spec(estimator: str) -> EstimatorSpec:
    """The estimator of that name in configs/pose/, or of that YAML file. Raises KeyReIDError."""
    path = Path(estimator) if estimator.endswith((".yaml", ".yml")) else SPECS / f"{estimator}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in SPECS.glob("*.yaml")))
        raise KeyReIDError(f"estimator {estimator}: no file {path}; known: {known}; or give a YAML file")
    allowed = ", ".join(sorted({*EstimatorSpec.model_fields} - {"name", "folder"}))
    with reading(path, "a description of an estimator", f"allowed keys: {allowed}"):
        return EstimatorSpec(name=path.stem, folder=path.parent.resolve(), **load_yaml(path))
