"""The figures of the method, drawn by the project's own code from a clip of walkers, and of the ablation.

python docs/tools/figures.py OUT
"""

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from pipeline import ablation
from stages.datasets.walkers.config import WalkersConfig
from stages.datasets.walkers.film import film_by_number
from stages.datasets.walkers.plan import make_plan
from stages.figure_file import save_figure
from stages.parts import PARTS, part_joints
from stages.reid.data.part_maps import gaussian_maps
from stages.reid.model import tcss
from stages.reid.model.backbone import kept_patches, pool_to_grid
from stages.reid.model.local_branch import EPSILON
from stages.reid.scoring.pictures import heat_bar, part_map_picture

ABLATION = Path(__file__).resolve().parent.parent / "ablation.json"  # a table.json of keyreid ablation
GRID = (16, 8)
FRAMES = 4
NAMES = tuple(PARTS[6])


def draw_all(folder: Path) -> list[Path]:
    """Draw every figure into a folder; their paths."""
    frames, maps = make_clip()
    drawn = [folder / f"{name}.png" for name in ("part-maps", "kept", "tcss", "prior")]
    part_map_picture(
        drawn[0], list(frames[:2]), maps[:2], NAMES, "Heat of each part (a bin hides the legs' ends)"
    )
    heat = pool_to_grid(torch.from_numpy(maps)[None], GRID)[0]  # [T, K, n]
    _kept(drawn[1], frames, heat)
    _tcss(drawn[2])
    _prior(drawn[3], frames, heat)
    return drawn + draw_ablation(ABLATION, folder)


def draw_ablation(source: Path, folder: Path) -> list[Path]:
    """The scores of the ablation's variants, where its table is there; the paths of what was drawn."""
    if not source.exists():
        return []
    table = ablation.from_json(source)
    ablation.plot(table, folder / "ablation.png", f"Walkers: {len(table)} variants")
    return [folder / "ablation.png"]


def make_clip() -> tuple[np.ndarray, np.ndarray]:
    """Frames uint8 [T, 256, 128, 3] in RGB of a walker behind a bin, and part maps float32 [T, 6, 64, 32]."""
    config = WalkersConfig(identities=8, look="clean")
    for plan in make_plan(config).test:
        if not plan.occluded or plan.person < 1:
            continue
        made = film_by_number(plan, config.seed, config.camera_effect)
        seen = made.keypoints[..., 2] > 1.5
        step = max(1, len(made.frames) // FRAMES)
        picked = np.arange(FRAMES) * step
        if made.occlusions[0] is not None and made.occlusions[0].kind == "bin" and seen[picked, 0].any():
            break
    keypoints = np.concatenate([made.keypoints[..., :2], seen[..., None]], axis=2)[picked]
    size = np.tile([[256, 128]], (FRAMES, 1))
    maps = gaussian_maps(keypoints, size, tuple(part_joints(6)), (64, 32)).astype(np.float32) / 255
    return made.frames[picked][..., ::-1], maps


def _kept(path: Path, frames: np.ndarray, heat: torch.Tensor) -> None:
    """The patches of every frame that the trunk sees; the others are darkened."""
    seen = torch.zeros(len(frames), GRID[0] * GRID[1])
    seen.scatter_(1, kept_patches(heat, 0.5, GRID), 1.0)
    figure = Figure(figsize=(6.2, 3.2), layout="compressed")
    for number, axis in enumerate(figure.subplots(1, FRAMES)):
        axis.imshow(frames[number], extent=(0, 8, 16, 0))
        dark = np.zeros((*GRID, 4))
        dark[..., 3] = 0.75 * (1 - seen[number].view(GRID).numpy())
        axis.imshow(dark, extent=(0, 8, 16, 0))
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_title(f"frame {number + 1}", fontsize=9)
    _save(figure, path)


def _tcss(path: Path) -> None:
    """The token of which half of the channels go into each of the first rows, for both forms of TCSS."""
    device, patches = torch.device("cpu"), GRID[0] * GRID[1]
    keys = torch.tensor([3])
    orders = {
        "time: the same patch\nin another frame, in training": tcss.time_order(
            FRAMES, patches, 1, keys, device, None
        )[0],
        "sequence: all tokens\nshifted and interleaved": tcss.sequence_order(FRAMES * patches, 5, device),
    }
    figure = Figure(figsize=(6.4, 3.9), layout="constrained")
    colours = ListedColormap(["#0550ae", "#e3b341", "#a40e26", "#56d364"])
    for axis, (title, order) in zip(figure.subplots(1, 2), orders.items(), strict=True):
        shown = order.view(FRAMES, patches).T[:10].numpy()
        axis.imshow(shown // patches, cmap=colours, vmin=0, vmax=FRAMES - 1, aspect="auto")
        for row in range(len(shown)):
            for slot in range(FRAMES):
                text = f"f{shown[row, slot] // patches + 1} p{shown[row, slot] % patches}"
                axis.text(
                    slot,
                    row,
                    text,
                    ha="center",
                    va="center",
                    fontsize=7,
                    color=_ink(shown[row, slot] // patches),
                )
        axis.set_xticks(range(FRAMES), [f"frame {i + 1}" for i in range(FRAMES)], fontsize=7)
        axis.set_yticks(range(len(shown)), [f"patch {i}" for i in range(len(shown))], fontsize=7)
        axis.set_title(title, fontsize=9)
    _save(figure, path)


def _ink(frame: int) -> str:
    return "white" if frame in (0, 2) else "black"


def _prior(path: Path, frames: np.ndarray, heat: torch.Tensor) -> None:
    """Where each part reads, in each frame, by the prior alone: with all other logits equal."""
    rows = heat.transpose(0, 1).flatten(1)  # [K, T*n]
    attention = (rows + EPSILON).log().softmax(-1).view(len(NAMES), FRAMES, *GRID)
    figure = Figure(figsize=(8.2, 9.4), layout="compressed")
    axes = figure.subplots(FRAMES, len(NAMES))
    for k, name in enumerate(NAMES):
        shades = {"cmap": "inferno", "alpha": 0.75, "extent": (0, 8, 16, 0), "vmin": 0}
        for t in range(FRAMES):
            axes[t, k].imshow(frames[t], extent=(0, 8, 16, 0))
            axes[t, k].imshow(attention[k, t], vmax=attention[k].max(), **shades)
            axes[t, k].set_xticks([])
            axes[t, k].set_yticks([])
            share = f"{attention[k, t].sum():.0%}"
            axes[t, k].set_title(share if t else f"{name}\n{share}", fontsize=8)
    heat_bar(figure, axes, "weight of the patch, as a share of the part's largest")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    save_figure(figure, path)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    print(*draw_all(target), sep="\n")
