"""The typed config of the network. Every ablation switch is here."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from cache.errors import KeyReIDError
from stages import parts as body
from stages.config import StrictModel

# timm arguments that have a field of their own here.
OWN_FIELDS = {
    "img_size": "image_size",
    "drop_path_rate": "drop_path",
    "pretrained": "pretrained",
    "checkpoint_path": "vit_path",
    "num_classes": "the number of training identities",
}

# Of the local branch, guidance prior. Recipes set part_block for their data, so it may stay where unread.
PART_FIELDS = ("part_depth", "part_share", "part_width", "frame_prior")


class ModelConfig(StrictModel):
    """The dual-branch transformer: a ViT trunk, a global branch and a part-wise local branch."""

    backbone: str = Field(
        "vit_base_patch16_224",
        description="timm name of a plain ViT with a class token: ViT, DeiT, DINOv2 and 3, CLIP, vit_relpos, "
        "EVA, RoPE-ViT or BEiT",
    )
    backbone_args: dict[str, Any] = Field(
        default_factory=dict, description="further timm arguments: depth, embed_dim, num_heads, patch_size"
    )
    pretrained: bool = Field(False, description="download timm's weights of the backbone; vit_path wins")
    vit_path: Path | None = Field(None, description="local ViT weights (.pth or .safetensors) to start from")
    image_size: tuple[int, int] = Field((256, 128), description="height and width of a frame in pixels")
    clip_length: int = Field(4, ge=1, description="frames per clip, T")
    parts: int | dict[str, list[str]] = Field(
        6, description="3, 4 or 6 for a built-in grouping, or part names with their COCO joints"
    )
    guidance: Literal["prior", "published"] = Field(
        "prior", description="what heat does in the local branch: a prior on attention, or as released"
    )
    published_maps: Literal["gaussian", "empty"] = Field(
        "gaussian", description="guidance published only: maps as meant, or empty as the released script's"
    )
    tcss: Literal["off", "time", "sequence"] | None = Field(
        None,
        description="temporal clip shift and shuffle: off, within each patch's row (time) or over all tokens "
        "(sequence); left out: off with guidance prior, sequence with guidance published",
    )
    tcss_shift: int = Field(5, ge=0, description="tcss sequence: tokens by which the sequence is shifted")
    kps: bool = Field(True, description="use the keypoint heat; false: every weight is one")
    global_only: bool = Field(False, description="drop the local branch")
    local_only: bool = Field(False, description="drop the global branch and its temporal attention")
    part_specific: bool = Field(False, description="blocks of its own for every part instead of shared ones")
    part_block: int | None = Field(
        None,
        ge=0,
        description="trunk blocks before parts read their patches; 0: nothing is mixed yet; null: a third",
    )
    part_depth: int = Field(
        1, ge=0, description="blocks in which the tokens of a part see each other before they are read"
    )
    part_share: float = Field(
        0.25,
        gt=0,
        le=1,
        description="part_depth above 0: share of the tokens, those with the most heat, of a part",
    )
    part_width: int | None = Field(
        None, ge=1, description="numbers in a part's feature; null: the ViT's width"
    )
    frame_prior: bool = Field(
        True, description="parts weigh frames by the temporal attention, beside their own heat"
    )
    keep: float = Field(
        0.5,
        gt=0,
        le=1,
        description="share of a frame's patches that the trunk sees, those with the most heat",
    )
    drop_path: float = Field(0.1, ge=0, lt=1, description="stochastic depth at the last block, rising from 0")
    camera_scale: float = Field(3.0, description="factor on the camera embedding")
    attention_width: int = Field(256, ge=1, description="hidden width of the temporal attention")

    @field_validator("tcss", mode="before")
    @classmethod
    def _yaml_off(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML 1.1 reads a bare `off` as false

    @field_validator("image_size")
    @classmethod
    def _positive_size(cls, value: tuple[int, int]) -> tuple[int, int]:
        if min(value) < 1:
            raise ValueError(f"image_size {value}: height and width must be at least 1 pixel")
        return value

    @field_validator("parts")
    @classmethod
    def _known_parts(cls, value: int | dict[str, list[str]]) -> int | dict[str, list[str]]:
        try:
            body.grouping(value)
        except KeyReIDError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("backbone_args")
    @classmethod
    def _possible_arguments(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in OWN_FIELDS.keys() & value.keys():
            raise ValueError(f"backbone_args: {name} is set by {OWN_FIELDS[name]}; remove it here")
        if value.get("in_chans", 3) != 3:
            raise ValueError(f"backbone_args: in_chans is {value['in_chans']}, but frames have 3 channels")
        for name, given in value.items():
            for number in given if isinstance(given, list | tuple) else (given,):
                if isinstance(number, float) and not math.isfinite(number):
                    raise ValueError(f"backbone_args: {name} is {given}, expected finite numbers")
        return value

    @model_validator(mode="after")
    def _possible(self) -> "ModelConfig":
        if self.global_only and self.local_only:
            raise ValueError("global_only and local_only are both true: no branch is left; set one to false")
        if self.guidance == "published" and self.tcss == "time":
            raise ValueError("tcss time does not go with guidance published; use tcss sequence or off")
        for name, reason in self._unread():
            value = getattr(self, name)
            if value != type(self).model_fields[name].default:
                raise ValueError(f"{name} is {value!r}, but {reason}: leave out one of the two")
        return self

    def _unread(self) -> Iterator[tuple[str, str]]:
        """Fields that the values of others leave without effect, and why."""
        if self.global_only:
            for name in ("part_specific", "tcss", "tcss_shift", "published_maps", *PART_FIELDS):
                yield name, "global_only drops the local branch"
        if self.local_only:
            yield "frame_prior", "local_only drops the temporal attention"
        if self.guidance == "published":
            yield "tcss_shift", "guidance published shifts by 5"
            for name in (*self._chooses_patches(), *PART_FIELDS):
                yield name, "guidance published reads as released"
            if self.global_only:
                yield "kps", "global_only drops the local branch"
        if not self.part_depth:
            yield "part_share", "part_depth is 0: a part has no blocks of its own"
        if self.tcss_mode != "sequence":
            yield "tcss_shift", f"tcss {self.tcss_mode} does not shift the sequence"
        if self.guidance == "prior":
            yield "published_maps", "guidance prior takes the heat of the cache"
        if not self.kps:
            for name in self._chooses_patches():
                yield name, "kps is false: nothing chooses patches"
            yield "part_share", "kps is false: nothing chooses tokens"
            yield "published_maps", "kps is false: no map is used"

    def _chooses_patches(self) -> tuple[str, ...]:
        """`keep`, where it leaves patches out. Recipes that keep them all may also be run without heat."""
        return ("keep",) if self.keep < 1 else ()

    @property
    def tcss_mode(self) -> str:
        """off, time or sequence, with the default of the guidance filled in."""
        return self.tcss or ("off" if self.guidance == "prior" else "sequence")

    @property
    def kept_share(self) -> float:
        """`keep`, where there is heat to choose patches by."""
        return self.keep if self.guidance == "prior" and self.kps else 1.0

    @property
    def own_share(self) -> float:
        """`part_share`, where there is heat to choose tokens by; without, a part reads all."""
        return self.part_share if self.kps else 1.0

    @property
    def part_names(self) -> tuple[str, ...]:
        """Names of the parts, in the order of every K axis."""
        return tuple(body.grouping(self.parts))
