"""Cloth, skin and hair: what colour a point of a surface has."""

import functools

import numpy as np

from stages.datasets.walkers.draw import Paint, Surface
from stages.datasets.walkers.wardrobe import Clothes, Colour


@functools.lru_cache(maxsize=4096)
def bgr(colour: Colour) -> np.ndarray:
    """Red, green, blue to [3, 1, 1] in BGR."""
    return np.asarray(colour[::-1], np.float32).reshape(3, 1, 1)


def _mix(mask: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.where(mask, second, first)


def plain(colour: Colour) -> Paint:
    value = bgr(colour)
    return lambda surface: value


def cloth(colour: Colour, second: Colour, pattern: str, turn: float, scale: float = 1.0) -> Paint:
    """A cloth with soft folds. turn: angle about the limb that faces the camera; scale: of the pattern."""
    first, other = bgr(colour), bgr(second)
    between = (first + other) / 2

    def paint(surface: Surface) -> np.ndarray:
        folds = 0.96 + 0.05 * np.sin(surface.along * 38 + surface.across * 3)
        if pattern == "plain":
            return first * folds
        if pattern == "block":
            return _mix(surface.along > 0.12 * scale, first, other) * folds
        if pattern == "stripes":
            return _mix((surface.along / (0.085 * scale)) % 1 < 0.45, first, other) * folds
        around = np.arcsin(np.clip(surface.across, -1, 1)) + turn
        bars = (around * (1.1 / scale)) % 1 < 0.4
        if pattern == "bars":
            return _mix(bars, first, other) * folds
        stripes = (surface.along / (0.11 * scale)) % 1 < 0.4
        return np.where(stripes & bars, other, np.where(stripes | bars, between, first)) * folds

    return paint


def ending(paint: Paint, end: float, rest: Paint) -> Paint:
    """`paint` up to `end` metres along the limb, `rest` beyond."""
    return lambda surface: np.where(surface.along < end, paint(surface), rest(surface))


def trunk(clothes: Clothes, yaw: float, base: Paint) -> Paint:
    """The upper garment on chest or waist: an open front, a print, straps of a bag."""
    s, c = np.sin(yaw), np.cos(yaw)
    second, bag = bgr(clothes.upper_second), bgr(clothes.bag_colour)

    def paint(surface: Surface) -> np.ndarray:
        colours = base(surface)
        front = surface.across * s + surface.out * c
        left = surface.across * c - surface.out * s
        if clothes.front == "open":
            colours = _mix((abs(left) < 0.30) & (front > 0), colours, second)
        elif clothes.front == "print":
            colours = _mix(
                (abs(left) < 0.45) & (front > 0) & (abs(surface.along - 0.06) < 0.06), colours, second
            )
        if clothes.bag == "backpack":
            colours = _mix((abs(abs(left) - 0.55) < 0.11) & (front > 0), colours, bag)
        elif clothes.bag == "satchel":
            colours = _mix(abs(left + np.sign(front) * (surface.along * 4.2 - 0.55)) < 0.13, colours, bag)
        return colours

    return paint


def head(clothes: Clothes, yaw: float, size: float) -> Paint:
    """Face, hair and hat on the capsule from cranium to chin. size: body height, metres."""
    s, c = np.sin(yaw), np.cos(yaw)
    skin, hair, hat = bgr(clothes.skin), bgr(clothes.hair), bgr(clothes.hat_colour)
    lips, eyes = skin * np.array([0.72, 0.62, 0.85], np.float32).reshape(3, 1, 1), skin * 0.25

    def paint(surface: Surface) -> np.ndarray:
        along = surface.along / size
        front = surface.across * s + surface.out * c
        left = surface.across * c - surface.out * s
        face = front > 0.2
        colours = np.broadcast_to(skin, (3, *along.shape))
        if clothes.hair_style != "bald":
            nape = 0.035 if clothes.hair_style == "short" else 0.2
            covered = ((front < 0.12) & (along < nape)) | (along < -0.026 - 0.012 * front)
            if clothes.hair_style != "short":
                covered |= (abs(left) > 0.78) & (front < 0.6)
            colours = _mix(covered, colours, hair)
        colours = _mix(face & (abs(abs(left) - 0.36) < 0.15) & (abs(along - 0.004) < 0.0065), colours, eyes)
        colours = _mix(face & (abs(left) < 0.33) & (abs(along - 0.048) < 0.005), colours, lips)
        if clothes.hat != "none":
            edge = -0.014 if clothes.hat == "beanie" else -0.02
            colours = _mix(along < edge, colours, hat)
        return colours

    return paint
