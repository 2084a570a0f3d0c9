"""Embed one tracklet with the exported networks: onnxruntime, numpy and OpenCV, no torch and no mmpose.

    keyreid export --run RUN -o model.onnx --pose-output pose.onnx
    python examples/onnx_inference.py model.onnx pose.onnx query/*.jpg -o query.npy

With several output files of this script, np.sum((a - b) ** 2) is the distance of two tracklets.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

BATCH = 16  # frames, or clips, at a time


class Network:
    """An exported file: `about` is what it says about itself."""

    def __init__(self, path: str, threads: int = 0):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads  # 0: all cores
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            self.about = json.loads(self.session.get_modelmeta().custom_metadata_map["keyreid"])
        except Exception as error:  # onnxruntime's have no base of their own
            raise SystemExit(f"{path}: not a file of keyreid export ({type(error).__name__})") from error
        self.inputs = [value.name for value in self.session.get_inputs()]

    def __call__(self, **inputs: np.ndarray) -> np.ndarray:
        return self.session.run(None, {name: inputs[name] for name in self.inputs})[0]


def read_pictures(path: str, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The whole picture, BGR [h, w, 3], for the pose network, and RGB [H, W, 3] of `size` for KeyRe-ID."""
    try:
        data = np.fromfile(path, np.uint8)
        whole = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except (OSError, cv2.error):  # OpenCV's: an empty file, or a header that declares more than it takes
        whole = None
    if whole is None:
        raise SystemExit(f"{path}: missing or no picture")
    small, (height, width) = whole, size
    # As in training: a JPEG of a multiple of the size is decoded smaller.
    for factor, flag in (
        (8, cv2.IMREAD_REDUCED_COLOR_8),
        (4, cv2.IMREAD_REDUCED_COLOR_4),
        (2, cv2.IMREAD_REDUCED_COLOR_2),
    ):
        exact = whole.shape[0] % factor == 0 and whole.shape[1] % factor == 0
        enough = whole.shape[0] // factor >= height and whole.shape[1] // factor >= width
        if path.lower().endswith((".jpg", ".jpeg")) and exact and enough:
            small = cv2.imdecode(data, flag)
            break
    if small.shape[:2] != (height, width):
        shrinks = small.shape[0] >= height and small.shape[1] >= width
        small = cv2.resize(
            small, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        )
    return whole, cv2.cvtColor(small, cv2.COLOR_BGR2RGB)


def joint_heat(pose: Network, pictures: list[np.ndarray]) -> np.ndarray:
    """Heat of the 17 joints over each whole picture, float32 [N, 17, 64, 32] in [0, 1]."""
    width, height = pose.about["input_size"]
    drawn, scales = [], []
    for picture in pictures:
        # The picture goes centred into the network's input, proportions kept, with a margin.
        size = picture.shape[1], picture.shape[0]
        scale = 1 / (pose.about["padding"] * max(size[0] / width, size[1] / height))
        shift = [(t - 1) / 2 - scale * (f - 1) / 2 for f, t in zip(size, (width, height), strict=True)]
        affine = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        image = picture
        if size != (width, height) or not np.allclose(affine, [[1, 0, 0], [0, 1, 0]]):
            image = cv2.warpAffine(picture, affine, (width, height), flags=cv2.INTER_LINEAR)
        drawn.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        scales.append((size, scale, shift))
    maps = pose(images=np.stack(drawn))
    columns, rows = pose.about["grid"]
    heat = np.empty((len(pictures), maps.shape[1], rows, columns), np.float32)
    for i, (size, scale, shift) in enumerate(scales):
        # Centre of each cell of the grid: pixel of the picture, of the input, cell of the network's map.
        places = []
        for axis, count in enumerate((columns, rows)):
            pixel = (np.arange(count) + 0.5) * size[axis] / count - 0.5
            places.append((pixel * scale + shift[axis]) / pose.about["heatmap_scale"][axis])
        heat[i] = sample(maps[i], places[1], places[0])
    # Eight bits, as the pose cache keeps it; below one step there is none.
    heat = np.clip(heat, 0, 1) * np.float32(255)
    heat[heat < 1] = 0
    return np.rint(heat) / np.float32(255)


def sample(maps: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Bilinear samples of maps [J, h, w] at rows x columns; zero more than half a cell outside."""
    matrices = []
    for places, count in ((rows, maps.shape[1]), (columns, maps.shape[2])):
        inside = np.clip(places, 0, count - 1)
        weights = np.clip(1 - np.abs(inside[:, None] - np.arange(count)), 0, None)
        weights[np.abs(places - inside) > 0.5 + 1e-9] = 0
        matrices.append(weights.astype(np.float32))
    return matrices[0] @ maps @ matrices[1].T


def part_maps(heat: np.ndarray, parts: dict[str, list[int]]) -> np.ndarray:
    """A part's heat is the largest of its joints: [N, 17, h, w] -> [N, K, h, w]."""
    return np.stack([heat[:, joints].max(axis=1) for joints in parts.values()], axis=1)


def clips(count: int, length: int) -> np.ndarray:
    """Frames of each clip, [C, length]: one after the other, the last filled by repeating its own."""
    starts = np.arange(0, count, length)
    available = np.minimum(count - starts, length)
    return starts[:, None] + np.arange(length) % available[:, None]


def embed(network: Network, pose: Network, paths: list[str]) -> np.ndarray:
    """The embedding of one tracklet, float32 [F], from its pictures in time order."""
    about = network.about
    frames, heat = [], []
    for start in range(0, len(paths), BATCH):
        pictures = [read_pictures(path, about["frame_size"]) for path in paths[start : start + BATCH]]
        frames += [small for _, small in pictures]
        if about["parts"]:
            heat.append(joint_heat(pose, [whole for whole, _ in pictures]))
    frames = np.stack(frames)
    maps = part_maps(np.concatenate(heat), about["parts"]) if heat else None
    rows = clips(len(paths), about["clip_length"])
    total, lengths = 0, 0
    ends = np.cumsum(about["blocks"])[:-1]
    for start in range(0, len(rows), BATCH):
        chosen = rows[start : start + BATCH]
        inputs = {"frames": frames[chosen], "cameras": np.full(len(chosen), -1, np.int64)}
        if maps is not None:
            inputs["part_maps"] = maps[chosen]
        features = network(**inputs)
        total = total + features.sum(axis=0, dtype=np.float64)
        blocks = np.split(features, ends, axis=1)
        lengths = lengths + np.stack([np.linalg.norm(block, axis=1).sum() for block in blocks])
    mean = (total / len(rows)).astype(np.float32)
    if about["unit_blocks"]:  # a mean of unit vectors is shorter: blocks get the mean length of their clips
        pairs = zip(np.split(mean, ends), lengths / len(rows), strict=True)
        mean = np.concatenate([b * (length / max(np.linalg.norm(b), 1e-12)) for b, length in pairs])
    return mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", help="file of keyreid export -o")
    parser.add_argument("pose", help="file of keyreid export --pose-output")
    parser.add_argument("frames", nargs="+", help="pictures of one person, in time order")
    parser.add_argument("-o", "--output", type=Path, help="write the embedding to this .npy file")
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    given = parser.parse_args()
    if given.output and not given.output.parent.is_dir():
        raise SystemExit(f"{given.output}: no such folder; make it first")
    network, pose = Network(given.network, given.threads), Network(given.pose, given.threads)
    for path, model, needs, option in (
        (given.network, network, "clip_length", "-o"),
        (given.pose, pose, "input_size", "--pose-output"),
    ):
        if needs not in model.about:
            raise SystemExit(f"{path}: expected the file of keyreid export {option}; the network comes first")
    feature = embed(network, pose, given.frames)
    print(f"{len(given.frames)} frames -> {len(feature)} numbers, length {np.linalg.norm(feature):.4f}")
    if given.output:
        try:
            np.save(given.output, feature)
        except OSError as error:
            raise SystemExit(f"{given.output}: cannot be written ({error.strerror})") from error


if __name__ == "__main__":
    main()
