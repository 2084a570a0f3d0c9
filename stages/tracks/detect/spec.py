"""A detector's spec: a YAML file in configs/detect/ beside, or naming, an ONNX file."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

import configs
from cache.border import reading
from cache.errors import KeyReIDError
from cache.files import sha256_of
from cache.text_files import load_yaml
from stages.config import StrictModel
from stages.pose.weights import weights_folder

SPECS = Path(configs.__file__).resolve().parent / "detect"


class Scores(StrictModel):
    """Scores mean something else in every network, so its thresholds belong to it."""

    lowest: float = Field(ge=0, le=1, description="boxes from here on continue a track")
    sure: float = Field(ge=0, le=1, description="boxes from here on are matched first")
    start: float = Field(ge=0, le=1, description="boxes from here on begin a track")

    @model_validator(mode="after")
    def _ordered(self) -> "Scores":
        if not self.lowest <= self.sure <= self.start:
            raise ValueError("expected lowest <= sure <= start")
        return self


class DetectorSpec(StrictModel):
    """A network in an ONNX file, and how its input is made and its output read."""

    name: str = Field(description="name of the YAML file, without suffix")
    folder: Path = Field(description="folder of the YAML file")
    file: str = Field(
        pattern=r"^[\w.-]+\.onnx$", description="ONNX file, beside the YAML file or in the weights folder"
    )
    url: str | None = Field(None, description="where to get it")
    how: str = Field("", description="what to do with what is there, where that is not the file itself")
    sha256: str = Field(
        "", pattern="^[0-9a-f]{0,64}$", description="of the file, or its first digits; empty: any file"
    )
    licence: str = Field(description="of the weights")
    source: str = Field(description="who made it, on what data")
    output: Literal["centernet", "yolox", "boxes", "dfine", "detr"] = Field(
        description="how its output is read: see stages/tracks/detect/output.py"
    )
    size: tuple[int, int] = Field(description="(width, height) of the input, px")
    fit: Literal["stretch", "pad", "shrink"] = Field(
        "pad",
        description="stretch to `size`, keep the shape and pad to `size`, or pad to multiples of 32 (shrink)",
    )
    channels: Literal["rgb", "bgr"] = Field("rgb", description="order of the input's channels")
    mean: tuple[float, float, float] = Field((0, 0, 0), description="subtracted, in the order of `channels`")
    deviation: tuple[float, float, float] = Field(
        (1, 1, 1), description="then divided by, in the order of `channels`"
    )
    classes: int = Field(ge=1, description="how many classes it tells apart")
    person: int = Field(ge=0, description="index of the class of persons, from 0")
    overlap: float = Field(
        0.6, gt=0, le=1, description="IoU from which on one of two boxes is dropped; 1: none"
    )
    scores: Scores = Field(description="thresholds of tracking")

    @model_validator(mode="after")
    def _person_is_a_class(self) -> "DetectorSpec":
        if self.person >= self.classes:
            raise ValueError(f"person is class {self.person} of {self.classes}, counted from 0")
        return self


def load_detector_spec(name: str) -> DetectorSpec:
    """The detector of that name in configs/detect/, or of that YAML file. Raises KeyReIDError."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else SPECS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in SPECS.glob("*.yaml")))
        raise KeyReIDError(f"detector {name}: no file {path}; known: {known}; or give a YAML file")
    allowed = ", ".join(sorted({*DetectorSpec.model_fields} - {"name", "folder"}))
    with reading(path, "a description of a detector", f"allowed keys: {allowed}"):
        return DetectorSpec(name=path.stem, folder=path.parent.resolve(), **load_yaml(path))


def detector_file(spec: DetectorSpec) -> tuple[Path, str]:
    """Path and SHA-256 of the ONNX file. Raises KeyReIDError where it is missing or another file."""
    places = [spec.folder / spec.file, weights_folder() / spec.file]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        way = f"get it from {spec.url}" if spec.url else "get it"
        way += f", {spec.how}," if spec.how else ""
        known = f" (SHA-256 {spec.sha256})" if spec.sha256 else ""
        raise KeyReIDError(
            f"detector {spec.name}: {spec.file}{known} is not there; {way} and put it at {places[-1]}"
        )
    digest = sha256_of(path)
    if not digest.startswith(spec.sha256):
        raise KeyReIDError(
            f"{path}: is not the file that detector {spec.name} names: SHA-256 {digest[:12]}..., expected "
            f"{spec.sha256[:12]}...; get it again ({spec.url or 'no URL known'}), or take "
            "sha256 out of its YAML file to use any"
        )
    return path, digest
