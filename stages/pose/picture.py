"""A picture of one frame's poses: its joints, and the heat of each part over it."""

from pathlib import Path

from cache import PoseCache
from cache.files import prepare_file

# Bones between COCO joints: face, arms, trunk, legs.
BONES = (
    (0, 1), (0, 2), (1, 3), (2, 4), (5, 7), (7, 9), (6, 8), (8, 10), (5, 6), (5, 11), (6, 12), (11, 12),
    (11, 13), (13, 15), (12, 14), (14, 16),
)  # fmt: skip
SHOWN = 0.1  # joints that score less are drawn hollow, their bones not at all


def draw(cache: PoseCache, root: Path, frame: str, parts: int, output: Path) -> Path:
    """Write a PNG with a frame of the cache, its joints and its part maps. Raises KeyReIDError."""
    from matplotlib.figure import Figure

    from stages.figure_file import save_figure
    from stages.frame_file import read_picture
    from stages.parts import grouping, part_joints

    prepare_file(output)
    poses = cache.read([frame])
    image = read_picture(root / frame)[:, :, ::-1]
    height, width = image.shape[:2]
    names = list(grouping(parts))
    heat = [poses.heatmaps[0, joints].max(axis=0) for joints in part_joints(parts)]
    columns = len(names) + 1
    figure = Figure(figsize=(1.6 * columns, 1.6 * height / width + 0.3), layout="compressed")
    axes = figure.subplots(1, columns)
    for axis, name in zip(axes, [frame.rpartition("/")[2], *names], strict=True):
        axis.imshow(image, extent=(-0.5, width - 0.5, height - 0.5, -0.5))
        axis.set_title(name, fontsize=6)
        axis.set_axis_off()
    keypoints = poses.keypoints[0]
    seen = keypoints[:, 2] > SHOWN
    for one, two in BONES:
        if seen[one] and seen[two]:
            axes[0].plot(*keypoints[[one, two], :2].T, color="lime", linewidth=1)
    for group, fill in ((seen, "red"), (~seen, "none")):
        axes[0].scatter(*keypoints[group, :2].T, s=6, facecolors=fill, edgecolors="red", linewidths=0.5)
    for axis, part in zip(axes[1:], heat, strict=True):
        # The grid covers the whole frame, so its picture does too.
        shown = axis.imshow(
            part, extent=(-0.5, width - 0.5, height - 0.5, -0.5), cmap="inferno", alpha=0.65, vmin=0, vmax=1
        )
    figure.colorbar(shown, ax=list(axes), label="heat", fraction=0.03, pad=0.01)
    save_figure(figure, output, dpi=150)
    return output
