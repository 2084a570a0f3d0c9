"""One working folder for all documents: walkers, their poses, a trained run, and a video with its tracks."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import yaml

from tests.docs.blocks import ABLATION, ROOT, WALKERS, Block, Runner

FPS = 10


@pytest.fixture(scope="package")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a reader has after the quick start, made small; `synthesize` has small defaults until the end."""
    from pipeline.commands import synthesize

    shrunk = [p for p in synthesize.command.params if p.name in WALKERS]
    before = [p.default for p in shrunk]
    for parameter in shrunk:
        parameter.default = WALKERS[parameter.name]
    folder = tmp_path_factory.mktemp("docs")
    for name in ("configs", "examples", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "small-ablation.yaml").write_text(yaml.safe_dump(ABLATION))
    try:
        Runner(folder).run(Block(ROOT / "README.md", 1, "bash", "make demo", ""))
        for camera in ("door", "yard"):
            film(folder, camera)
        yield folder
    finally:
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
