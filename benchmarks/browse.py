"""How fast the page of people is written, and how fast it opens in headless Chromium.

    python -m benchmarks.browse --tracklets 5000

Made tracklets of plain frames, filmed on one day by 6 cameras, are written as a page. It is opened several
times in a browser of its own; the time from the start of the navigation until the first rows are drawn is
measured in the page (performance.measure). Then the time that a filter takes, and a click until the first
frame of the tracklet is drawn. The floor of writing is copying the frames' files in memory.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks import floors
from benchmarks.made.people import link_made, made_gallery, timed
from stages.browse import build
from stages.browse.config import BrowseConfig
from stages.datasets.tracklet import Tracklet
from tests.stages.browser import Page, find_browser, open_browser

CAMERAS = ("door", "yard", "stairs", "lift", "garage", "roof")
OPENED = "performance.getEntriesByName('keyreid-open').map(e => e.duration)"
FILTERED = """(() => {
  const before = performance.now();
  const camera = document.querySelector("[data-filter=camera]");
  camera.value = "1"; camera.dispatchEvent(new Event("input", {bubbles: true}));
  document.body.offsetHeight;
  return performance.now() - before;
})()"""
CLICKED = "(() => { window.before = performance.now(); document.querySelector('.row .thumb').click(); })()"
DRAWN = "document.querySelector('#panel canvas').height > 150 ? performance.now() - window.before : null"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracklets", type=int, default=5000)
    parser.add_argument("--frames", type=int, default=4, help="frames of each")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args(arguments)


def film(root: Path, count: int, frames: int) -> list[Tracklet]:
    """Tracklets of a gallery, about 4 for each person, every frame a file of its own."""
    random = np.random.default_rng(0)
    tracklets = []
    for number in range(count):
        person, camera = int(random.integers(1, max(2, count // 4))), int(random.integers(len(CAMERAS)))
        folder = f"p{person:04d}/{CAMERAS[camera]}/{number:06d}"
        (root / folder).mkdir(parents=True)
        names = [f"{folder}/{frame:03d}.png" for frame in range(frames)]
        for frame, name in enumerate(names):
            picture = np.full((128, 64, 3), random.integers(0, 255, 3), np.uint8)
            cv2.putText(picture, f"{number}", (2, 40 + 8 * frame), cv2.FONT_HERSHEY_PLAIN, 1, (255, 255, 255))
            cv2.imwrite(str(root / name), picture)
        tracklets.append(Tracklet(tuple(names), person, camera + 1, folder))
    return tracklets


def wait_for(page: Page, script: str) -> float:
    """Its value, once there is one."""
    until = time.monotonic() + 60
    while not (value := page.run(script)):
        if time.monotonic() > until:
            raise TimeoutError(script)
        page.settle()
    return value


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    binary = find_browser()
    size = f"{options.tracklets} tracklets, {options.frames} frames each"
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, {size}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tracklets = timed(film(folder / "data", options.tracklets, options.frames), hours=9)
        gallery = made_gallery(folder / "day.h5", folder / "data", tracklets, "folder")
        people = link_made(folder / "people", folder / "day.h5", gallery)
        for what in ("written", "written again"):
            before = time.perf_counter()
            path = build.run(BrowseConfig(), people)
            seconds = time.perf_counter() - before
            print(f"{what}: {seconds:.1f} s, {options.tracklets / seconds:.0f} tracklets/s")
        print(f"index.html: {path.stat().st_size / 1e6:.2f} MB")
        frames = sum(file.stat().st_size for file in (folder / "data").rglob("*.png"))
        floor = 2 * frames / floors.copy_rate()
        print(f"written again: {floors.against(seconds, floor, f'copying {frames / 1e6:.1f} MB of frames')}")
        print(f"{floors.peak_memory()}, {floors.busy()}")
        if binary is None:
            print("skipped: no Chromium here, so opening is not measured")
            return
        opened, filtered, clicked = [], [], []
        with open_browser(binary, folder / "profile") as page:
            for _ in range(options.rounds):
                page.open(path)
                opened.append(wait_for(page, f"{OPENED}[0]"))
                page.run(CLICKED)
                clicked.append(wait_for(page, DRAWN))
                filtered.append(page.run(FILTERED))
        for what, times in (("opened", opened), ("tracklet shown", clicked), ("filtered", filtered)):
            print(
                f"{what}: {statistics.median(times):.0f} ms median of {len(times)}, {max(times):.0f} ms most"
            )


if __name__ == "__main__":
    main()
