"""Frames of one person in, an embedding out: both stages behind one object.

>>> embedder = Embedder("runs/walkers/20261122-170000-small")
>>> query = embedder.embed(sorted(Path("query").glob("*.jpg")))      # float32 [F]
"""

import importlib.metadata
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import yaml
from pydantic import ValidationError

from cache import PoseCache
from cache.chunks import quantise
from cache.errors import KeyReIDError
from cache.files import sha256_of
from stages.datasets.tracklet import Dataset, Tracklet
from stages.device import find_device
from stages.frame_file import read_picture
from stages.pose import geometry
from stages.pose.config import PoseConfig, load_spec
from stages.pose.weights import find_weights
from stages.reid.data.loader import test_loader
from stages.reid.model.weights import load_model
from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.embed import embed_tracklets
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.gallery import Gallery, camera_names, shown_frames

MODEL = "model.safetensors"
OWN_VIDEO = "import-mot.json"  # beside tracklets whose persons are a tracker's ids, not identities


class Embedder:
    """A trained network and its pose network. Persons need not be those it was trained on.

    checkpoint: run folder, or its .safetensors file. pose: stage one's config; default: the run's.
    device: cpu, cuda, ...; auto: cuda where there is one. Raises KeyReIDError for a checkpoint that
    cannot be read.
    """

    def __init__(self, checkpoint: Path | str, pose: PoseConfig | None = None, device: str = "auto"):
        self.path = checkpoint_file(Path(checkpoint))
        self.model, self.extra = load_model(self.path)
        self.sha256 = sha256_of(self.path)
        self.device = find_device(device)
        self.model.to(self.device)
        run_pose, self.config = run_config(self.path)
        self.pose = pose or run_pose

    def embed(self, frames: Sequence[Path | str], camera: int | None = None) -> np.ndarray:
        """The embedding float32 [F] of one tracklet: its picture files, in time order, any size.

        camera: number of the camera in the training set; default: unknown, as in one's own video.
        Raises KeyReIDError for a picture that cannot be read, for none at all, and where no pose network is
        known.
        """
        mode = "unknown" if camera is None else "given"
        return self.features(*self._one(_absolute(frames), camera), mode, 0)[0][0]

    def features(
        self,
        root: Path,
        tracklets: Sequence[Tracklet],
        poses: "PoseCache | MemoryPoses",
        camera: str = "unknown",
        workers: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Features float32 [N, F] and part visibility float32 [N, K] of tracklets whose poses are known.

        root: folder to which their frames are relative. camera: "given", or "unknown" to keep it from the
        network. workers: reading processes; default: as in the run.
        Raises KeyReIDError for camera "given" where the checkpoint names no cameras.
        """
        if camera == "given" and not self.extra.get("cameras"):
            raise KeyReIDError(f"{self.path}: does not say which cameras it knows; use camera unknown")
        batches = test_loader(
            root,
            tracklets,
            poses,
            self.model.config,
            self.model.pixel_mean,
            self.model.pixel_std,
            self.config.batch_size,
            self.config.workers if workers is None else workers,
            self.config.clip_stride,
            self.config.clip_cap,
            cameras=self.extra.get("cameras", ()),
        )
        return embed_tracklets(self.model, batches, len(tracklets), camera)

    def gallery(
        self,
        dataset: Dataset,
        tracklets: Sequence[Tracklet],
        poses: PoseCache,
        camera: str = "auto",
        workers: int | None = None,
    ) -> Gallery:
        """A gallery of some tracklets of a data set: a row each, in their order.

        poses: stage one's cache of their frames. camera: given, unknown, or auto: given where the network was
        trained on this data set. workers: reading processes; default: as in the run.
        Raises KeyReIDError for frames that are missing, on disk or in the cache.
        """
        if camera == "auto":
            camera = "given" if dataset.name == self.extra.get("dataset") else "unknown"
        features, visibility = self.features(dataset.root, tracklets, poses, camera, workers)
        info = poses.info
        about = {
            "dataset": dataset.name,
            "labelled": not (dataset.root / OWN_VIDEO).is_file(),
            "camera": camera,
            "poses": {
                "estimator": info.estimator,
                "weights_sha256": info.weights_sha256,
                "fingerprint": info.fingerprint,
            },
        }
        return self._pack(dataset.root, tracklets, features, visibility, about)

    def query(self, frames: Sequence[Path | str]) -> Gallery:
        """A gallery of one tracklet, given by its picture files in time order. Camera unknown.

        Its name is the folder of the first picture. Raises KeyReIDError as `embed` does.
        """
        paths = _absolute(frames)
        features, visibility = self.features(*self._one(paths, None), "unknown", 0)
        spec = load_spec(self.pose.estimator)
        about = {
            "dataset": "query",
            "labelled": False,
            "camera": "unknown",
            "poses": {
                "estimator": spec.name,
                "weights_sha256": find_weights(spec, self.pose.weights)[1],
                "fingerprint": None,
            },
        }
        name = str(Path("/", paths[0]).parent)
        return self._pack(Path("/"), [Tracklet(paths, 1, None, name)], features, visibility, about)

    def _one(self, paths: tuple[str, ...], camera: int | None) -> tuple:
        """Root, tracklets and poses of a single tracklet."""
        tracklet = Tracklet(paths, 1, camera, paths[0])
        return Path("/"), [tracklet], MemoryPoses(self.estimator, Path("/"), paths)

    def _pack(
        self,
        root: Path,
        tracklets: Sequence[Tracklet],
        features: np.ndarray,
        visibility: np.ndarray,
        about: dict,
    ) -> Gallery:
        parts = 0 if self.model.local_branch is None else visibility.shape[1]
        rows = np.arange(len(tracklets))
        embeddings = Embeddings(
            features=features,
            names=np.array([t.name for t in tracklets]),
            persons=np.array([t.person for t in tracklets], np.int64),
            cameras=np.array([-1 if t.camera is None else t.camera for t in tracklets], np.int64),
            query=rows,
            gallery=rows,
            visibility=visibility if parts else None,
            parts=parts,
            global_width=0 if self.model.global_branch is None else self.model.backbone.width,
            about=about
            | {
                "checkpoint": {"path": str(self.path.resolve()), "sha256": self.sha256},
                "distance": self.config.distance,
                "version": importlib.metadata.version("keyreid"),
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        )
        embeddings.check("embeddings")
        frames = tuple(map(shown_frames, tracklets))
        return Gallery(embeddings, camera_names(tracklets, about["dataset"]), frames, root.resolve())

    @cached_property
    def estimator(self):
        """The pose network, loaded when first needed."""
        from stages.pose.estimator import HRNetEstimator

        if self.pose is None:
            raise KeyReIDError(
                f"{self.path}: no config.yaml beside it names a pose network; give pose=PoseConfig"
            )
        spec = load_spec(self.pose.estimator)
        weights, _ = find_weights(spec, self.pose.weights)
        return HRNetEstimator(
            spec, weights, padding=self.pose.padding, flip_test=self.pose.flip_test, device=self.device
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
            heat = quantise(estimator.heat(maps, affines, sizes))
            self._heat.update(zip(names, heat, strict=True))

    def missing(self, frames: Sequence[str]) -> list[str]:
        """Frames without poses."""
        return [frame for frame in frames if frame not in self._heat]

    def read_heatmaps(self, frames: Sequence[str]) -> np.ndarray:
        """Heat uint8 [N, 17, 64, 32]."""
        return np.stack([self._heat[frame] for frame in frames])


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
    try:
        content = yaml.safe_load(path.read_text())
        return PoseConfig(**content.get("pose", {})), EvalConfig(**content.get("eval", {}))
    except (OSError, yaml.YAMLError, UnicodeDecodeError, AttributeError, TypeError, ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise KeyReIDError(f"{path}: not the config of a run: {reason}") from error


def _absolute(frames: Sequence[Path | str]) -> tuple[str, ...]:
    """Paths relative to the root of the file system."""
    if not len(frames):
        raise KeyReIDError("a tracklet without a frame cannot be embedded; give one picture or more")
    return tuple(str(Path(frame).resolve()).lstrip("/") for frame in frames)
