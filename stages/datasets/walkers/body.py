"""A skeleton in metres and its walking cycle.

Body axes: x to the walker's left, y up, z forward; the ground is y = 0.
"""

import numpy as np

from stages.datasets.walkers.wardrobe import Build

# Heights and lengths as fractions of the body height, near Drillis and Contini's segment lengths.
HIP, SHOULDER, NECK, CHIN, CRANIUM, EYE, NOSE, EAR = 0.530, 0.815, 0.850, 0.902, 0.935, 0.930, 0.910, 0.924
THIGH, SHIN, ANKLE, FOOT = 0.245, 0.246, 0.039, 0.125
UPPER_ARM, FOREARM, HAND = 0.172, 0.152, 0.060
HIP_HALF, SHOULDER_HALF = 0.054, 0.108


def _stack(x, y, z) -> np.ndarray:
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1).astype(np.float64)


def _turn(points: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Rotate [T, 3] about the vertical by yaw [T] (positive: to the left)."""
    c, s = np.cos(yaw), np.sin(yaw)
    return _stack(c * points[:, 0] + s * points[:, 2], points[:, 1], -s * points[:, 0] + c * points[:, 2])


def _leg(hip: np.ndarray, phase: np.ndarray, build: Build, h: float) -> dict[str, np.ndarray]:
    """Hip flexion is a sine; the knee bends most while the leg swings forward; the foot rolls off."""
    amount = build.stride / 0.42
    thigh = build.stride * np.sin(phase) + 0.07 * amount
    knee = 0.07 + 0.90 * amount * np.maximum(0, np.cos(phase + 0.5)) ** 2
    shin = thigh - knee
    foot = np.where(shin < 0, 0.55, 0.75) * shin
    knee_at = hip + h * THIGH * _stack(0 * thigh, -np.cos(thigh), np.sin(thigh))
    ankle = knee_at + h * SHIN * _stack(0 * shin, -np.cos(shin), np.sin(shin))
    along = _stack(0 * foot, np.sin(foot), np.cos(foot))
    down = _stack(0 * foot, -np.cos(foot), np.sin(foot))
    heel = ankle - 0.030 * h * along + 0.022 * h * down
    toe = ankle + FOOT * h * along + 0.026 * h * down
    return {"hip": hip, "knee": knee_at, "ankle": ankle, "heel": heel, "toe": toe}


def _arm(
    shoulder: np.ndarray, phase: np.ndarray, side: int, build: Build, h: float, style: str
) -> dict[str, np.ndarray]:
    """The arm swings against the leg of its side, the elbow bends more in front."""
    swing, elbow, out = -build.swing * np.sin(phase), build.elbow + 0.25 * np.maximum(0, -np.sin(phase)), 0.13
    if style == "phone":
        swing, elbow, out = 0.25 + 0.1 * swing, 1.75 + 0.05 * np.sin(phase), 0.12
    elif style == "pockets":
        swing, elbow, out = -0.22 + 0.15 * swing, 0.75 + 0 * phase, 0.28
    elif style == "hold":  # something before the body, with both hands
        swing, elbow, out = 0.12 + 0.08 * swing, 1.25 + 0.05 * np.sin(phase), 0.24
    elif style == "carry":
        swing, elbow, out = 0.25 * swing, 0.15 + 0 * phase, 0.16
    girth_out = out + 0.16 * (build.girth - 1)
    upper = _stack(
        side * np.sin(girth_out) * np.cos(swing), -np.cos(girth_out) * np.cos(swing), np.sin(swing)
    )
    inward = side * (np.sin(girth_out) - (0.32 if style in ("phone", "pockets", "hold") else 0.10))
    fore_angle = swing + elbow
    fore = _stack(inward * np.cos(fore_angle), -np.cos(fore_angle), np.sin(fore_angle))
    fore /= np.linalg.norm(fore, axis=1, keepdims=True)
    elbow_at = shoulder + h * UPPER_ARM * upper
    wrist = elbow_at + h * FOREARM * fore
    return {"shoulder": shoulder, "elbow": elbow_at, "wrist": wrist, "hand": wrist + h * HAND * fore}


def pose(
    build: Build, phase: np.ndarray, arm_styles: tuple[str, str], gaze: np.ndarray
) -> dict[str, np.ndarray]:
    """Named points, each [T, 3] in metres, for the phases [T] of the left leg (radians).

    arm_styles: left and right, each free, phone, pockets, hold or carry. gaze: yaw [T] of the head, radians.
    """
    h, zero = build.height, 0.0 * phase
    pelvis_yaw, chest_yaw = -0.10 * np.sin(phase), 0.13 * np.sin(phase)
    sway = 0.012 * h * np.cos(phase)
    points: dict[str, np.ndarray] = {}
    for side, name, own in ((1, "left", phase), (-1, "right", phase + np.pi)):
        hip = _turn(_stack(side * HIP_HALF * h + zero, HIP * h, 0.0), pelvis_yaw) + _stack(sway, 0, 0)
        points.update({f"{name}_{k}": v for k, v in _leg(hip, own, build, h).items()})
    # Feet stand on the ground: the body rises and falls with the stance leg.
    lowest = np.min([points[f"{s}_{p}"][:, 1] for s in ("left", "right") for p in ("heel", "toe")], axis=0)
    lift = _stack(zero, 0.016 * h - lowest, zero)
    points = {k: v + lift for k, v in points.items()}

    def trunk(x: float, y: float, z: float, yaw) -> np.ndarray:
        """A point of the trunk: turned about the vertical, then leaned forward about the hips."""
        p = _turn(_stack(x * h + zero, (y - HIP) * h, z * h), yaw)
        c, s = np.cos(build.lean), np.sin(build.lean)
        leaned = _stack(p[:, 0], c * p[:, 1] - s * p[:, 2] + HIP * h, s * p[:, 1] + c * p[:, 2])
        return leaned + lift + _stack(sway, 0, 0)

    for side, name, own, style in (
        (1, "left", phase, arm_styles[0]), (-1, "right", phase + np.pi, arm_styles[1])
    ):  # fmt: skip
        shoulder = trunk(side * SHOULDER_HALF * build.shoulders, SHOULDER, 0.0, chest_yaw)
        points.update({f"{name}_{k}": v for k, v in _arm(shoulder, own, side, build, h, style).items()})
    points["pelvis"] = trunk(0, HIP, 0, pelvis_yaw)
    points["waist"] = trunk(0, 0.60, 0.004, zero)
    points["chest"] = trunk(0, 0.762, 0.006, chest_yaw)
    points["neck"] = trunk(0, NECK - 0.02, 0, chest_yaw)
    points["back"] = trunk(0, 0.75, -0.085 * build.girth**0.5, chest_yaw)
    points["back_low"] = trunk(0, 0.64, -0.085 * build.girth**0.5, chest_yaw)
    points["nape"] = trunk(0, 0.80, -0.052, chest_yaw)
    points["cranium"] = trunk(0, CRANIUM, 0.010, gaze)
    points["chin"] = trunk(0, CHIN, 0.024, gaze)
    points["bun"] = trunk(0, CRANIUM + 0.012, -0.055, gaze)
    points["brim"] = trunk(0, CRANIUM + 0.018, 0.052, gaze)
    points["brim_end"] = trunk(0, CRANIUM + 0.012, 0.095, gaze)
    points["bun_end"] = trunk(0, CRANIUM + 0.020, -0.068, gaze)
    points["nose_root"] = trunk(0, NOSE + 0.018, 0.052, gaze)
    points["nose"] = trunk(0, NOSE, 0.064, gaze)
    for side, name in ((1, "left"), (-1, "right")):
        points[f"{name}_eye"] = trunk(side * 0.018, EYE, 0.056, gaze)
        points[f"{name}_ear"] = trunk(side * 0.047, EAR, 0.004, gaze)
        points[f"{name}_lobe"] = trunk(side * 0.046, EAR - 0.016, 0.006, gaze)
    return points
