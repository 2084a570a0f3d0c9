"""A pose network of mmpose, and what stage one asks of it: frames in, heat on the frame's grid out."""

import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import stages.compat  # noqa: F401
from cache.chunks import GRID_HEIGHT, GRID_WIDTH, JOINTS
from cache.errors import KeyReIDError
from cache.manifest import COCO_JOINTS
from stages.device import settle
from stages.pose import geometry
from stages.pose.config import EstimatorSpec
from stages.pose.weights import load_into
from stages.precision import dtype_of

GRID = (GRID_WIDTH, GRID_HEIGHT)
SCORE_STEPS = np.float32(4096)
BELOW_ONE = 1 - 2**-24  # the largest float32 below one
GRIDS = 32  # kept, of batches whose frames differ in size
# Which joint a joint becomes in a mirrored frame: left and right change places.
MIRRORED = [
    COCO_JOINTS.index(name.replace("left", "?").replace("right", "left").replace("?", "right"))
    for name in COCO_JOINTS
]


def model_config(spec: EstimatorSpec) -> dict:
    """mmpose's `model` section for a spec, without pretrained initialisation. Raises KeyReIDError."""
    from mmengine import Config

    mmpose = importlib.util.find_spec("mmpose")  # importing it takes seconds
    merged = Config({"model": {}})
    if spec.mmpose_config is not None:
        path = Path(mmpose.origin).parent / ".mim" / "configs" / spec.mmpose_config
        if not path.is_file():
            raise KeyReIDError(f"estimator {spec.name}: mmpose has no config file {spec.mmpose_config}")
        merged = Config({"model": Config.fromfile(path).model.to_dict()})
    if spec.model is not None:
        merged.merge_from_dict({"model": spec.model})
    section = merged.model.to_dict()
    if isinstance(section.get("backbone"), dict):
        section["backbone"].pop("init_cfg", None)
    return section


def input_size(spec: EstimatorSpec) -> geometry.Size:
    """Width and height of the network's input. Raises KeyReIDError where the model's decoder has none."""
    decoder = (model_config(spec).get("head") or {}).get("decoder") or {}
    if "input_size" not in decoder:
        raise KeyReIDError(f"estimator {spec.name}: its model needs head.decoder with input_size")
    return tuple(int(n) for n in decoder["input_size"])


def build_network(spec: EstimatorSpec, initialise: bool = True) -> torch.nn.Module:
    """mmpose's estimator in training mode, its weights drawn from torch's global generator.

    initialise: as mmpose prescribes for training; needless where weights are loaded next.
    Raises KeyReIDError where mmpose cannot build it or it does not end in heatmaps of 17 joints.
    """
    import mmpose.models  # noqa: F401  fills the registry
    from mmengine.registry import DefaultScope
    from mmpose.registry import MODELS

    try:
        with DefaultScope.overwrite_default_scope("mmpose"):
            network = MODELS.build(model_config(spec))
            if initialise:
                # mmengine logs four lines per parameter otherwise
                before = logging.root.manager.disable
                logging.disable(logging.INFO)
                try:
                    network.init_weights()
                finally:
                    logging.disable(before)
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise KeyReIDError(f"estimator {spec.name}: mmpose cannot build its model: {reason}") from error
    codec = getattr(getattr(network, "head", None), "decoder", None)
    if not hasattr(codec, "heatmap_size") or not hasattr(codec, "scale_factor"):
        raise KeyReIDError(f"estimator {spec.name}: its head needs a heatmap decoder, such as MSRAHeatmap")
    if getattr(network.head, "out_channels", None) != JOINTS:
        raise KeyReIDError(f"estimator {spec.name}: {network.head.out_channels} joints, expected {JOINTS}")
    return network


class HRNetEstimator:
    """A loaded pose network, ready for batches.

    forward(inputs) is the bare network; `heat` adds what turns its maps into the cache's; `keypoints` is
    mmpose's own decoding. All three can run in different threads.
    """

    def __init__(
        self,
        spec: EstimatorSpec,
        weights: Path | None,
        *,
        padding: float | None = None,
        flip_test: bool = False,
        device: str = "cpu",
        precision: str = "fp32",
        channels_last: bool = True,
    ):
        """weights None: randomly initialised, for benchmarks. precision: fp32, bf16 or fp16, of all but the
        layer that ends in heat, which is float32."""
        settle(device)  # in whichever process this is
        network = build_network(spec, initialise=weights is None)
        if weights is not None:
            load_into(network, weights)
        from mmcv.cnn.utils.fuse_conv_bn import fuse_conv_bn

        # Batch norm folded into the convolutions before it: same function, a third less time on a CPU.
        network.eval()
        network.backbone = fuse_conv_bn(network.backbone)
        network.requires_grad_(False)
        self.codec = network.head.decoder
        self.input_size: geometry.Size = tuple(int(n) for n in self.codec.input_size)
        self.heatmap_size: geometry.Size = tuple(int(n) for n in self.codec.heatmap_size)
        self.padding = spec.padding if padding is None else padding
        self.device = torch.device(device)
        self.dtype = dtype_of(precision)
        self.flip_test = flip_test
        # Pixel x is at a x + b in the heat; mirrored and turned back, this many cells farther to the left.
        a, b = geometry.input_to_heatmap(self.codec.scale_factor)[0, [0, 2]]
        self._mirror_shift = a * (self.input_size[0] - 1) + 2 * b - (self.heatmap_size[0] - 1)
        mean, std = (v.flatten() for v in (network.data_preprocessor.mean, network.data_preprocessor.std))
        if network.data_preprocessor._channel_conversion:
            # Frames stay BGR as they are read: the first convolution takes its colours in that order instead.
            stem = network.backbone.conv1
            stem.weight = torch.nn.Parameter(stem.weight.flip(1), requires_grad=False)
            mean, std = mean.flip(0), std.flip(0)
        self.scale, self.shift = (1 / std).to(self.device), (-mean / std).to(self.device)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.to(self.device, self.dtype, memory_format=self.layout)
        if self.dtype != torch.float32:
            last = network.head.final_layer.float()
            last.register_forward_pre_hook(lambda _, inputs: tuple(one.float() for one in inputs))
        self._grids: dict[bytes, tuple[torch.Tensor, torch.Tensor | None]] = {}
        self._affines: dict[geometry.Size, np.ndarray] = {}

    def affine(self, frame: geometry.Size) -> np.ndarray:
        """Pixel of a frame (width, height) -> pixel of the input."""
        affine = self._affines.get(frame)
        if affine is None:
            if len(self._affines) >= 1000:
                self._affines.clear()  # perhaps while another thread looks something up
            affine = self._affines[frame] = geometry.frame_to_input(frame, self.input_size, self.padding)
        return affine

    def prepare(self, images: np.ndarray) -> torch.Tensor:
        """Normalised network input [N,3,h,w], BGR, from BGR uint8 [N,h,w,3] of the input's size."""
        count, height, width, _ = images.shape
        pixels = torch.from_numpy(images).to(self.device, non_blocking=True)
        rows = pixels.view(count, height, width * 3).float()  # long rows: broadcasting over 3 values is slow
        inputs = rows.mul_(self.scale.repeat(width)).add_(self.shift.repeat(width))
        inputs = inputs.view(count, height, width, 3).permute(0, 3, 1, 2)
        return inputs.to(self.dtype).contiguous(memory_format=self.layout)

    @torch.inference_mode()
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Heat on the network's own grid, float32 [N,17,h,w]; averaged with the mirrored input's if asked."""
        heat = self._forward(inputs)
        if self.flip_test:
            mirrored = self._forward(inputs.flip(-1))[:, MIRRORED].flip(-1)
            heat = (heat + geometry.shift_right(mirrored, self._mirror_shift)) * 0.5
        return heat

    def _forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.network.head.forward(self.network.extract_feat(inputs)).float().contiguous()

    @torch.inference_mode()
    def heat(
        self, maps: torch.Tensor, affines: Sequence[np.ndarray], frames: Sequence[geometry.Size]
    ) -> np.ndarray:
        """Heat of each whole frame, as the cache has it: uint8 [N,17,64,32].

        maps: the network's, float32 [N,17,h,w]. affines: frame -> input of each frame; frames: its width and
        height. Made on the device, so that bytes travel.
        """
        return quantised(geometry.warp_heat(maps, *self.grid(affines, frames))).cpu().numpy()

    def grid(
        self, affines: Sequence[np.ndarray], frames: Sequence[geometry.Size]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What `geometry.warp_heat` takes beside the maps, on the device; kept for the next frames."""
        key = np.concatenate([np.ravel(affines), np.ravel(frames)]).tobytes()
        grid = self._grids.get(key)
        if grid is None:
            to_heatmap = geometry.input_to_heatmap(self.codec.scale_factor)
            cells = [
                geometry.compose(to_heatmap, geometry.compose(affine, geometry.grid_to_frame(frame, GRID)))
                for affine, frame in zip(affines, frames, strict=True)
            ]
            if len(self._grids) >= GRIDS:
                self._grids.clear()  # perhaps while another thread looks something up
            positions = geometry.sampling_grid(np.array(cells), GRID, self.heatmap_size)
            near = geometry.near_weights(positions, self.heatmap_size) if self.device.type == "cpu" else None
            grid = self._grids[key] = positions.to(self.device), near
        return grid

    def keypoints(self, maps: np.ndarray, affines: Sequence[np.ndarray]) -> np.ndarray:
        """x, y in pixels of the frame and score, float32 [N,17,3], from the network's maps [N,17,h,w].

        Scores are multiples of 1/4096: the last bits of a network's arithmetic differ between routines.
        """
        keypoints = np.empty((len(maps), JOINTS, 3), np.float32)
        points, scores = decode(self.codec, maps)
        keypoints[..., 2] = np.round(np.asarray(scores, np.float32) * SCORE_STEPS) / SCORE_STEPS
        back = np.array([geometry.invert(affine) for affine in affines])
        keypoints[..., :2] = np.einsum("nij,nkj->nki", back[:, :, :2], points) + back[:, None, :, 2]
        return keypoints


def decode(codec: object, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `codec.decode` says of each frame: x, y in pixels of the input [N,J,2], scores [N,J].

    maps: float32 [N,J,h,w]. mmpose decodes a frame at a time and refines a joint at a time, which costs a
    small network a tenth of its time; for its plain MSRAHeatmap the same is done here for all at once.
    """
    if type(codec).__name__ != "MSRAHeatmap" or codec.unbiased:
        pairs = [codec.decode(frame) for frame in maps]
        return np.array([points[0] for points, _ in pairs]), np.array([scores[0] for _, scores in pairs])
    from mmpose.codecs.utils import get_heatmap_maximum

    points, scores = get_heatmap_maximum(maps)
    return _refine(points, maps) * codec.scale_factor, scores


def _refine(points: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """A quarter of a cell from each peak towards the higher of its neighbours, left or right, up or down.

    As mmpose's refine_keypoints: peaks next to the border stay, and so does a joint without heat (-1, -1).
    """
    height, width = maps.shape[2:]
    x, y = points[..., 0].astype(int), points[..., 1].astype(int)
    frame, joint = np.ogrid[: maps.shape[0], : maps.shape[1]]

    def at(row: np.ndarray, column: np.ndarray) -> np.ndarray:
        return maps[frame, joint, row.clip(0, height - 1), column.clip(0, width - 1)]

    across = np.sign(at(y, x + 1) - at(y, x - 1)) * ((x > 1) & (x < width - 1) & (y > 0) & (y < height))
    down = np.sign(at(y + 1, x) - at(y - 1, x)) * ((y > 1) & (y < height - 1) & (x > 0) & (x < width))
    return points + np.float32(0.25) * np.stack([across, down], axis=-1).astype(np.float32)


def quantised(heat: torch.Tensor) -> torch.Tensor:
    """What `cache.chunks.quantise` makes of heat, on its device; heat's own memory is used up."""
    scaled = torch.threshold_(heat.mul_(255.0), BELOW_ONE, 0.0).clamp_(max=255.0).add_(0.5)
    return scaled.to(torch.int16).to(torch.uint8)  # straight to bytes is five times as slow on CPUs
