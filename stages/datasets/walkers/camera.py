"""A camera: its view and its colour response."""

from dataclasses import dataclass

import cv2
import numpy as np

HEIGHT, WIDTH = 256, 128  # of a frame, pixels

# Headings of the paths in front of the cameras, in degrees: 0 comes towards the camera, 90 walks to the right
# of the picture. Every path is walked both ways.
PATHS = (90.0, 0.0, 45.0, -40.0, 70.0, 20.0)


@dataclass(frozen=True)
class Camera:
    """View, light and colour response of one camera."""

    number: int  # from 1
    heading: float  # direction of its path, radians
    elevation: float  # above the horizon, radians
    distance: float  # to the walker, in body heights
    light: tuple[float, float]  # direction from which the light comes: right, towards the camera
    ambient: float  # light in the shadow, 0 to 1
    matrix: np.ndarray  # [3, 3] mixing of BGR
    gains: np.ndarray  # [3] of BGR
    gamma: float
    blur: float  # pixels
    noise: float  # grey levels


def make_camera(seed: int, number: int, effect: float) -> Camera:
    """Camera `number` of data set `seed`. effect 0: neutral colours; 1: far apart from the other cameras."""
    rng = np.random.default_rng([seed, 11, number])
    turn = 2.399963 * number  # golden angle: white points of neighbours in number lie far apart
    cast = 0.09 * np.cos(turn + np.array([0, 2.0944, 4.1888])) + rng.normal(0, 0.016, 3)
    exposure = (0.0, -0.12, 0.08, -0.06, 0.04, -0.15)[(number - 1) % 6]
    saturation = 1 - effect * (0.02, 0.18, 0.05, 0.12, 0.2, 0.0)[(number - 1) % 6]
    grey = np.full((3, 3), 1 / 3)
    angle = rng.uniform(-0.9, 0.9)
    return Camera(
        number=number,
        heading=np.deg2rad(PATHS[(number - 1) % 6]),
        elevation=float(rng.uniform(0.10, 0.42)),
        distance=float(rng.uniform(2.6, 4.5)),
        light=(float(np.sin(angle)), float(np.cos(angle))),
        ambient=float(rng.uniform(0.50, 0.66)),
        matrix=saturation * np.eye(3) + (1 - saturation) * grey,
        gains=np.exp(effect * (cast + exposure)),
        gamma=float(np.exp(effect * (0.0, 0.08, -0.09, 0.04, -0.05, 0.1)[(number - 1) % 6])),
        blur=float(rng.uniform(0.45, 0.85)),
        noise=float(rng.uniform(1.0, 3.5)),
    )


@dataclass(frozen=True)
class View:
    """Projection of one tracklet: body metres to canvas pixels, frame by frame."""

    yaw: np.ndarray  # [T] heading relative to the camera, radians
    elevation: float
    distance: float  # metres
    scale: np.ndarray  # [T] pixels per metre at the walker
    centre: np.ndarray  # [T, 2] canvas pixel of the point `middle` metres above the ground
    middle: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """[..., T, 3] body metres to [..., T, 4]: x, y, depth (grows away) in pixels, pixels per metre."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        x = c * points[..., 0] + s * points[..., 2]
        near = -s * points[..., 0] + c * points[..., 2]
        y = points[..., 1] - self.middle
        up = np.cos(self.elevation) * y - np.sin(self.elevation) * near
        near = np.sin(self.elevation) * y + np.cos(self.elevation) * near
        scale = self.scale * self.distance / (self.distance - near)
        return np.stack(
            [self.centre[:, 0] + scale * x, self.centre[:, 1] - scale * up, -self.scale * near, scale],
            axis=-1,
        )


class Response:
    """The colour response of a camera in one tracklet: mixing, gains and gamma as one table look-up."""

    def __init__(self, camera: Camera, rng: np.random.Generator, effect: float):
        wobble = np.exp(rng.normal(0, 0.04, 3) + rng.normal(0, 0.06))
        gains = camera.gains * (wobble if effect else 1.0)
        levels = np.linspace(0, 1, 256)[:, None] * gains
        levels = np.clip(levels, 0, None) ** camera.gamma
        levels = np.where(levels < 0.8, levels, 1 - 0.2 * np.exp(-(levels - 0.8) / 0.2))  # soft shoulder
        self.table = np.round(255 * levels).clip(0, 255).astype(np.uint8).reshape(1, 256, 3)
        self.matrix = camera.matrix.astype(np.float32)
        self.blur = camera.blur * float(np.exp(rng.normal(0, 0.25)))
        # Differences of two uniform bytes: nearly normal noise (deviation 104), six times as fast to draw.
        drawn = rng.integers(0, 256, (2, 288, 160, 4), np.uint8).astype(np.float32)
        drawn = (drawn[0] - drawn[1]) * (camera.noise / 104)
        self.grain = (drawn[..., :1] + 0.6 * drawn[..., 1:]).round().astype(np.int16)

    def __call__(self, picture: np.ndarray, offset: tuple[int, int]) -> np.ndarray:
        """Scene colours uint8 [H, W, 3] to what is recorded. offset: which part of the grain is used."""
        height, width = picture.shape[:2]
        out = cv2.LUT(cv2.transform(picture, self.matrix), self.table)
        out = cv2.GaussianBlur(out, (0, 0), self.blur)
        grain = self.grain[offset[0] : offset[0] + height, offset[1] : offset[1] + width]
        return cv2.add(out, grain, dtype=cv2.CV_8U)
