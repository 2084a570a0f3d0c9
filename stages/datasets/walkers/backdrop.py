"""The background of a camera: a wide strip, of which each frame shows a window."""

import functools

import cv2
import numpy as np

WIDTH, HEIGHT = 4000, 320


def _colour(rng: np.random.Generator, low: float, high: float, tint: float) -> np.ndarray:
    return np.clip(rng.uniform(low, high) + rng.normal(0, tint, 3), 0.03, 0.97)


@functools.lru_cache(maxsize=16)
def strip(seed: int, camera: int) -> np.ndarray:
    """Scene colours float32 [3, 320, 4000], BGR in [0, 1], of camera `camera` (from 1) of data set `seed`."""
    rng = np.random.default_rng([seed, 13, camera])
    picture = np.empty((HEIGHT, WIDTH, 3))
    horizon = int(rng.uniform(0.45, 0.68) * HEIGHT)
    ground = HEIGHT - horizon
    start = 0
    while start < WIDTH:  # houses beside each other, each with its own wall and pavement
        end = start + int(rng.uniform(150, 330))
        wall, floor = _colour(rng, 0.12, 0.85, 0.10), _colour(rng, 0.15, 0.75, 0.07)
        picture[:horizon, start:end] = wall * np.linspace(0.85, 1.1, horizon)[:, None, None]
        picture[horizon:, start:end] = floor * np.linspace(0.8, 1.1, ground)[:, None, None]
        start = end
    outdoors = rng.random() < 0.5
    x = 0
    while x < WIDTH:  # a row of doors, windows, posters, pillars, bushes along the wall
        width, kind = int(rng.uniform(14, 110)), rng.integers(6)
        top = int(rng.uniform(0, horizon * 0.6))
        colour = _colour(rng, 0.08, 0.85, 0.16)
        if kind == 0:
            cv2.rectangle(picture, (x, top), (x + width, horizon), colour.tolist(), -1)
            cv2.rectangle(picture, (x, top), (x + width, horizon), (colour * 0.5).tolist(), 2)
        elif kind == 1:
            bottom = int(top + rng.uniform(0.2, 0.5) * horizon)
            cv2.rectangle(picture, (x, top), (x + width, bottom), colour.tolist(), -1)
            cv2.line(picture, (x + width // 2, top), (x + width // 2, bottom), (colour * 0.6).tolist(), 2)
            cv2.rectangle(
                picture, (x, top), (x + width, bottom), (0.75 + 0.2 * colour).clip(0, 1).tolist(), 3
            )
        elif kind == 2:
            cv2.rectangle(picture, (x, 0), (x + width // 4, horizon + 8), colour.tolist(), -1)
        elif kind == 3 and outdoors:
            for _ in range(14):
                centre = (int(x + rng.uniform(0, width)), int(horizon - rng.uniform(-6, 0.5 * horizon)))
                green = np.array([0.15, 0.4, 0.2]) * rng.uniform(0.4, 1.3)
                cv2.circle(picture, centre, int(rng.uniform(8, 24)), green.tolist(), -1)
        elif kind == 4:
            for step in range(0, width, 9):
                cv2.line(picture, (x + step, top), (x + step, horizon), colour.tolist(), 2)
        x += width + int(rng.uniform(4, 60))
    line = (picture[-1, 0] * rng.uniform(0.6, 0.85)).tolist()
    for step in np.cumsum(np.geomspace(5, 60, 9)):  # joints of the floor, wider apart towards the camera
        cv2.line(picture, (0, int(horizon + step)), (WIDTH, int(horizon + step)), line, 1)
    for start in range(-2000, WIDTH + 2000, 70):
        shift = int(0.5 * (start - WIDTH / 2))
        cv2.line(picture, (start, horizon), (start + shift, HEIGHT), line, 1)
    texture = cv2.resize(rng.normal(0, 0.03, (HEIGHT // 4, WIDTH // 4)), (WIDTH, HEIGHT))
    fine = rng.normal(0, 0.02, (HEIGHT, WIDTH))
    picture = cv2.GaussianBlur(picture, (0, 0), 1.3) * (1 + texture + fine)[:, :, None]
    return np.ascontiguousarray(picture.clip(0, 1).transpose(2, 0, 1), dtype=np.float32)
