"""One working folder for all documents: walkers, their poses, a trained run, and a video with its tracks."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import torch
import yaml

from tests.docs.blocks import ABLATION, ROOT, TINY, WALKERS, Block, Runner

FPS = 10
IMAGENET = "jx_vit_base_p16_224-80ecf9dd.pth"


@pytest.fixture(scope="package")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a reader has after the quick start, made small; `synthesize` has small defaults until the end."""
    from pipeline.commands import demo, synthesize

    shrunk = [p for p in synthesize.command.params if p.name in WALKERS]
    before = [p.default for p in shrunk]
    for parameter in shrunk:
        parameter.default = WALKERS[parameter.name]
    street, demo.STREET = demo.STREET, ("--persons", "2")
    folder = tmp_path_factory.mktemp("docs")
    for name in ("configs", "examples", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "small-ablation.yaml").write_text(yaml.safe_dump(ABLATION))
    try:
        Runner(folder).run(Block(ROOT / "README.md", 1, "bash", "make demo", ""))
        for camera in ("door", "yard"):
            film(folder, camera)
        for name in ("door-1", "door-2"):
            shutil.copyfile(folder / "door.mp4", folder / f"{name}.mp4")
        label(folder)
        write_vit(folder / IMAGENET)
        yield folder
    finally:
        demo.STREET = street
        for parameter, default in zip(shrunk, before, strict=True):
            parameter.default = default


def film(folder: Path, camera: str) -> None:
    """A video in which two walkers stand side by side, its frames, and its tracks as trackers write them."""
    people = sorted((folder / "data/walkers/bbox_test").iterdir())[-2:]
    number = {"door": 1, "yard": 2}[camera]
    clips = [sorted(person.glob(f"*C{number}T0001F*.jpg"))[:4] for person in people]
    video = cv2.VideoWriter(str(folder / f"{camera}.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), FPS, (320, 256))
    rows = []
    (folder / "frames" / camera).mkdir(parents=True)
    for frame in range(8):
        canvas = cv2.imread(str(clips[0][0]))[:1, :1].repeat(256, 0).repeat(320, 1)
        for track, clip in enumerate(clips):
            left = 10 + 160 * track
            canvas[:, left : left + 128] = cv2.imread(str(clip[frame % len(clip)]))
            rows.append(f"{frame + 1},{track + 1},{left},0,128,256,0.9,1,1")
        video.write(canvas)
        cv2.imwrite(str(folder / "frames" / camera / f"{frame + 1:06d}.jpg"), canvas)
    video.release()
    (folder / f"{camera}.txt").write_text("\n".join(rows) + "\n")


def label(folder: Path) -> None:
    """DATA: the walkers of both halves as a tree of labelled persons."""
    for half in ("train", "test"):
        for picture in sorted((folder / f"data/walkers/bbox_{half}").rglob("*C?T*.jpg")):
            person, camera, tracklet = picture.name[:4], picture.name[4:6], picture.name[6:11]
            if picture.parent.name not in ("0000", "00-1"):
                target = folder / "DATA" / half / person / camera / tracklet / picture.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(picture, target)


def write_vit(path: Path) -> None:
    """Weights of a network as small as those of TINY, in the place of ImageNet's."""
    import timm  # after the demo, which readies torchvision for a CPU

    backbone = yaml.safe_load(TINY[1].split("=", 1)[1])
    torch.save(timm.create_model("vit_base_patch16_224", **backbone).state_dict(), path)
