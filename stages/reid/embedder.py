"""Frames of one person in, an embedding out: both stages behind one object.

>>> embedder = Embedder("runs/walkers/20261122-170000-small")
>>> query = embedder.embed(sorted(Path("query").glob("*.jpg")))      # float32 [F]
"""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from cache import PoseCache
from cache.border import reading
from cache.errors import KeyReIDError
from cache.text_files import load_yaml
from stages.datasets.tracklet import Dataset, Tracklet
from stages.device import find_device
from stages.frame_file import read_picture
from stages.pose import geometry
from stages.pose.config import PoseConfig, load_spec
from stages.pose.weights import find_weights
from stages.precision import choose
from stages.reid.model import KeyReID
from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.embed_set import Checkpoint, Progress, embed_set, pose_record, silent
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.provenance import same_data

MODEL = "model.safetensors"
Frames = Sequence[Path | str | np.ndarray] | np.ndarray  # files, or pictures uint8 [height, width, 3], RGB


class Embedder:
    """A trained network and its pose network. Persons need not be those it was trained on.

    checkpoint: run folder, or its .safetensors file. pose: stage one's config; default: the run's.
    device: cpu, cuda, ...; auto: cuda where there is one. precision: its number format: fp32, bf16,
    fp16 or auto; default: the run's eval.precision. Raises KeyReIDError for a checkpoint that cannot be
    read.
    """

    def __init__(
        self,
        checkpoint: Path | str,
        pose: PoseConfig | None = None,
        device: str = "auto",
        precision: str | None = None,
    ):
        self.device, file = find_device(device), checkpoint_file(Path(checkpoint))
        run_pose, self.config = run_config(file)
        self.checkpoint = Checkpoint.load(file, self.device, precision or self.config.precision)
        self.pose = pose or run_pose

    @property
    def model(self) -> KeyReID:
        """The network."""
        return self.checkpoint.model

    @property
    def pose_network(self) -> str | None:
        """Name of the pose network, None where none is known."""
        return None if self.pose is None else load_spec(self.pose.estimator).name

    def embed(self, frames: Frames, camera: int | None = None) -> np.ndarray:
        """The embedding float32 [F] of one tracklet: its pictures, in time order, any size.

        frames: files, or uint8 [height, width, 3], RGB, each. camera: number of the camera in the training
        set; default: unknown, as in your own video.
        Raises KeyReIDError for a picture that cannot be read, for none at all, for arrays of other kinds, for
        a camera where the checkpoint names none, and where no pose network is known.
        """
        return self._one(frames, camera).features[0]

    def query(self, frames: Frames) -> Embeddings:
        """Embeddings of one tracklet, given by its pictures in time order, as of `embed`. Camera unknown.

        Its name is that of the picture, or the folder of the first of several. Raises KeyReIDError as `embed`
        does.
        """
        return self._one(frames, None)

    def gallery(
        self,
        dataset: Dataset,
        tracklets: Sequence[Tracklet],
        poses: PoseCache,
        camera: str = "auto",
        workers: int | None = None,
        progress: Progress = silent,
    ) -> Embeddings:
        """Embeddings of some tracklets of a data set: a row each, in their order.

        poses: stage one's cache of their frames. camera: given, unknown, or auto: given where the network was
        trained on this data set. workers: reading processes; default: as in the run.
        Raises KeyReIDError for frames that are missing, on disk or in the cache, and for camera "given"
        where the checkpoint names no cameras.
        """
        camera = self.camera_mode(camera, dataset, poses)
        about = {"labelled": dataset.labelled, "poses": pose_record(poses)}
        return self._embedded(dataset.root, tracklets, poses, camera, dataset.name, about, workers, progress)

    def camera_mode(self, camera: str, dataset: Dataset | None, poses: PoseCache | None) -> str:
        """given or unknown, of given, unknown or auto: given where the network was trained on this data.

        poses: of all of the data set, None where there are none. Raises KeyReIDError for "given" where the
        checkpoint names no cameras.
        """
        if camera == "auto":
            known = poses is not None and same_data(self.checkpoint.extra, dataset, poses)
            camera = "given" if known else "unknown"
        if camera == "given" and not self.checkpoint.extra.get("cameras"):
            raise KeyReIDError(
                f"{self.checkpoint.path}: does not say which cameras it knows; use camera unknown"
            )
        return camera

    def _one(self, frames: Frames, camera: int | None) -> Embeddings:
        if not len(frames):
            raise KeyReIDError("a tracklet without a frame cannot be embedded; give one picture or more")
        if isinstance(frames, np.ndarray) and frames.ndim == 3:
            frames = [frames]
        arrays = [frame for frame in frames if isinstance(frame, np.ndarray)]
        if not arrays:
            return self._of_files([Path(frame) for frame in frames], camera)
        with tempfile.TemporaryDirectory() as folder:
            made = self._of_files(
                [_file_of(f, Path(folder, f"{n}.png")) for n, f in enumerate(frames)], camera
            )
        name = f"array-{hashlib.sha256(b''.join(map(np.ndarray.tobytes, arrays))).hexdigest()[:16]}"
        shown = tuple(f"{name}/{place}" for place in range(len(made.frames[0])))
        return replace(made, names=np.array([name]), frames=(shown,), root=Path())

    def _of_files(self, frames: Sequence[Path], camera: int | None) -> Embeddings:
        root, paths = Path("/"), tuple(str(frame.resolve()).lstrip("/") for frame in frames)
        first = Path("/", paths[0])
        tracklet = Tracklet(paths, 1, camera, str(first if len(paths) == 1 else first.parent))
        poses = MemoryPoses(self.estimator, root, paths)
        spec = load_spec(self.pose.estimator)
        sha256 = find_weights(spec, self.pose.weights)[1]
        record = {"estimator": spec.name, "weights_sha256": sha256, "fingerprint": None}
        about = {"labelled": False, "poses": record}
        mode = "unknown" if camera is None else self.camera_mode("given", None, None)
        return self._embedded(root, [tracklet], poses, mode, "query", about, 0)

    def _embedded(
        self,
        root: Path,
        tracklets: Sequence[Tracklet],
        poses: "PoseCache | MemoryPoses",
        camera: str,
        dataset: str,
        about: dict,
        workers: int | None,
        progress: Progress = silent,
    ) -> Embeddings:
        cameras = self.checkpoint.extra.get("cameras") or ()
        changes = {"camera": camera} | ({} if workers is None else {"workers": workers})
        config = self.config.model_copy(update=changes)
        about = about | {"checkpoint": self.checkpoint.about()}
        return embed_set(self.model, config, root, tracklets, poses, cameras, dataset, about, progress)

    @cached_property
    def estimator(self):
        """The pose network, loaded when first needed."""
        from stages.pose.estimator import HRNetEstimator

        if self.pose is None:
            raise KeyReIDError(
                f"{self.checkpoint.path}: no config.yaml beside it names a pose network; give pose=PoseConfig"
            )
        spec = load_spec(self.pose.estimator)
        weights, _ = find_weights(spec, self.pose.weights)
        return HRNetEstimator(
            spec,
            weights,
            padding=self.pose.padding,
            flip_test=self.pose.flip_test,
            device=self.device,
            precision=choose(self.pose.precision, self.device, half="fp16"),
        )


class MemoryPoses:
    """Poses of a few frames, as the cache would hold them, without a file."""

    folder = Path("memory")

    def __init__(self, estimator, root: Path, frames: Sequence[str], batch: int = 16):
        """Runs the pose network over the frames, given relative to the root."""
        self._heat: dict[str, np.ndarray] = {}
        unique = list(dict.fromkeys(frames))
        for start in range(0, len(unique), batch):
            names = unique[start : start + batch]
            images, affines, sizes = [], [], []
            for name in names:
                image = read_picture(root / name)
                sizes.append(image.shape[1::-1])
                affines.append(estimator.affine(sizes[-1]))
                images.append(geometry.warp_frame(image, affines[-1], estimator.input_size))
            maps = estimator.forward(estimator.prepare(np.stack(images)))
            heat = estimator.heat(maps, affines, sizes)
            self._heat.update(zip(names, heat, strict=True))

    def missing(self, frames: Sequence[str]) -> list[str]:
        """Frames without poses."""
        return [frame for frame in frames if frame not in self._heat]

    def read_heatmaps(self, frames: Sequence[str]) -> np.ndarray:
        """Heat uint8 [N, 17, 64, 32]."""
        return np.stack([self._heat[frame] for frame in frames])


def _file_of(frame: Path | str | np.ndarray, path: Path) -> Path:
    """The file of a picture; of an array, `path`, where it is written without loss."""
    if not isinstance(frame, np.ndarray):
        return Path(frame)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise KeyReIDError(
            f"a frame is an array {frame.dtype} {list(frame.shape)}; expected uint8 [height, width, 3], RGB"
        )
    cv2.imwrite(str(path), frame[:, :, ::-1])
    return path


def checkpoint_file(path: Path) -> Path:
    """The weights of a run folder, or the file itself. Raises KeyReIDError where there are none."""
    file = path / MODEL if path.is_dir() else path
    if not file.is_file():
        raise KeyReIDError(
            f"{path}: no trained network there ({file.name} is missing); expected a finished run's folder or "
            "a .safetensors file"
        )
    return file


def run_config(weights: Path) -> tuple[PoseConfig | None, EvalConfig]:
    """Sections `pose` and `eval` of the config beside the weights; None and defaults where there is none."""
    path = weights.parent / "config.yaml"
    if not path.is_file():
        return None, EvalConfig()
    with reading(path, "the config of a run"):
        content = load_yaml(path)
        return PoseConfig(**content.get("pose", {})), EvalConfig(**content.get("eval", {}))
