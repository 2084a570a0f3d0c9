"""A run folder with an untrained network, and galleries of made-up features."""

from pathlib import Path

import numpy as np
import yaml

from stages.reid.scoring.embeddings import Embeddings


def write_run(folder: Path, estimator: Path, seed: int = 0, **about) -> Path:
    """A run as training leaves it: model.safetensors, its JSON with `about`, and config.yaml."""
    import torch

    from stages.reid.model import KeyReID, ModelConfig, save_model

    torch.manual_seed(seed)
    config = ModelConfig(
        backbone="vit_tiny_patch16_224",
        backbone_args={"patch_size": 16, "depth": 2, "embed_dim": 32, "num_heads": 2},
        image_size=(64, 32),
        clip_length=2,
    )
    model = KeyReID(config, 4, 2)
    save_model(model, folder / "model.safetensors", **{"dataset": "walkers", "cameras": [1, 2], **about})
    pose = {"estimator": str(estimator), "device": "cpu", "workers": 1, "threads": 1}
    content = {"pose": pose, "eval": {"workers": 0, "batch_size": 8}}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder


def made_gallery(
    count: int = 40, width: int = 12, checkpoint: str = "a" * 64, seed: int = 0, **about
) -> Embeddings:
    """Persons 1, 2, ... with four rows each, in two cameras; features near a centre of the person."""
    rng = np.random.default_rng(seed)
    persons = np.arange(count) // 4 + 1
    centres = rng.normal(size=(persons.max() + 1, width))
    features = (centres[persons] + 0.3 * rng.normal(size=(count, width))).astype(np.float32)
    cameras = np.arange(count) % 2 + 1
    names = np.array(
        [f"p{p:03d}/c{c}/{i:04d}" for i, (p, c) in enumerate(zip(persons, cameras, strict=True))]
    )
    header = {
        "dataset": "folder",
        "labelled": True,
        "camera": "unknown",
        "distance": "euclidean",
        "checkpoint": {"path": f"/runs/{checkpoint[:4]}/model.safetensors", "sha256": checkpoint},
        "poses": {"estimator": "tiny", "weights_sha256": "", "fingerprint": ""},
    }
    return Embeddings(
        features=features,
        names=names,
        persons=persons,
        cameras=cameras,
        camera_names=cameras.astype(str),
        visibility=rng.random((count, 2), np.float32),
        frames=tuple((f"{name}/1.jpg", f"{name}/2.jpg") for name in names),
        root=Path(f"/data/{seed}"),
        parts=2,
        global_width=width - 8,
        about=header | about,
    )
