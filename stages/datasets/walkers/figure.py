"""A posed skeleton, dressed: the capsules of one walker and the visibility of the joints."""

import math
from dataclasses import dataclass

import numpy as np

from cache.manifest import COCO_JOINTS
from stages.datasets.walkers import paints
from stages.datasets.walkers.draw import Canvas
from stages.datasets.walkers.wardrobe import Identity

OWNERS = {
    name: number
    for number, name in enumerate(
        (
            "head", "hair", "neck", "trunk", "pelvis", "skirt", "bag",
            "left_upper_arm", "left_forearm", "left_hand", "right_upper_arm", "right_forearm", "right_hand",
            "left_thigh", "left_shin", "left_foot", "right_thigh", "right_shin", "right_foot",
        ),
        start=1,
    )
}  # fmt: skip

# A joint can be seen where the frontmost surface belongs to one of these and lies no deeper than `SLACK`
# metres before the joint. Clothes do not hide the joint under them, other limbs do.
JOINT_OWNERS = {
    "nose": ("head",), "eye": ("head",), "ear": ("head",),
    "shoulder": ("trunk", "{}_upper_arm"), "elbow": ("{}_upper_arm", "{}_forearm"),
    "wrist": ("{}_forearm", "{}_hand"), "hip": ("trunk", "pelvis", "skirt", "{}_thigh"),
    "knee": ("{}_thigh", "{}_shin", "skirt", "trunk"), "ankle": ("{}_shin", "{}_foot"),
}  # fmt: skip
SLACK = {
    "nose": 0.045, "eye": 0.05, "ear": 0.055, "shoulder": 0.16, "elbow": 0.12, "wrist": 0.12, "hip": 0.20,
    "knee": 0.26, "ankle": 0.14,
}  # fmt: skip


def _seen_on(joint: str) -> tuple[str, frozenset[int], float]:
    side, _, kind = joint.rpartition("_")
    return joint, frozenset(OWNERS[name.format(side)] for name in JOINT_OWNERS[kind]), SLACK[kind]


SEEN_ON = tuple(_seen_on(joint) for joint in COCO_JOINTS)


@dataclass(frozen=True)
class Limb:
    """One capsule of the figure, before it is placed in a frame."""

    owner: str
    ends: tuple[str, str]
    radii: tuple[float, float]  # metres
    paint: paints.Paint
    bulge: float = 0.0
    thickness: float = 1.0
    cap: float = 1.0
    near: float = 0.0  # metres: drawn as if it lay this much nearer, for order among touching limbs


def _flat(width: float, depth: float, yaw: float) -> tuple[float, float]:
    """Half of the drawn width, and half depth over it, of an ellipse turned by yaw."""
    c, s = math.cos(yaw), math.sin(yaw)
    drawn, along = math.hypot(width * c, depth * s), math.hypot(width * s, depth * c)
    return drawn, along / drawn


def _trunk_limbs(identity: Identity, yaw: float, spread: float) -> list[Limb]:
    clothes, build, h = identity.clothes, identity.build, identity.build.height
    wide, girth = h * build.girth**0.6, build.girth
    upper = paints.cloth(clothes.upper, clothes.upper_second, clothes.upper_pattern, yaw)
    lower = paints.cloth(clothes.lower, clothes.lower_second, clothes.lower_pattern, yaw, 0.8)
    front, yoke = paints.trunk(clothes, yaw, upper), paints.plain(clothes.upper)
    hips_depth = 0.066 * wide
    chest, chest_thick = _flat(0.090 * wide * build.shoulders, 0.062 * wide, yaw)
    waist, waist_thick = _flat(0.077 * wide * girth**0.4, 0.060 * wide * girth**0.5, yaw)
    hips, hips_thick = _flat(0.084 * wide, hips_depth, yaw)
    pelvis = paints.ending(upper, (0.05 + 0.30 * clothes.hem) * h, lower) if clothes.hem else lower
    parts = [
        Limb("trunk", ("neck", "left_shoulder"), (0.036 * wide, 0.031 * wide), yoke),
        Limb("trunk", ("neck", "right_shoulder"), (0.036 * wide, 0.031 * wide), yoke),
        Limb("trunk", ("left_shoulder", "right_shoulder"), (0.029 * wide, 0.029 * wide), yoke),
        Limb("trunk", ("chest", "waist"), (chest, waist), front, 0.0, (chest_thick + waist_thick) / 2, 1.9),
        Limb("pelvis", ("waist", "pelvis"), (waist * 0.98, hips), pelvis, 0.0, hips_thick, 2.0),
        Limb("neck", ("neck", "chin"), (0.031 * wide, 0.029 * wide), paints.plain(clothes.skin)),
    ]  # fmt: skip
    if clothes.hem:
        wider = 1.08 + 0.06 * clothes.hem
        width, thick = _flat(0.085 * wide * wider, max(hips_depth * 1.3, spread * clothes.hem), yaw)
        parts.append(Limb("trunk", ("waist", "hem"), (waist * 1.04, width), front, 0.0, thick, 5.0, 0.02))
    if clothes.lower_kind in ("skirt", "dress"):
        width, thick = _flat(0.102 * wide, max(0.085 * wide, spread), yaw)
        parts.append(Limb("skirt", ("waist", "skirt"), (waist, width), lower, 0.0, thick, 6.0, 0.01))
    return parts


def _head_limbs(identity: Identity, yaw: float, gaze: float) -> list[Limb]:
    clothes, h = identity.clothes, identity.build.height
    hair, skin, hat = paints.plain(clothes.hair), paints.plain(clothes.skin), paints.plain(clothes.hat_colour)
    cranium, thick = _flat(0.045 * h, 0.055 * h, gaze)
    chin = 0.036 * h if abs(np.sin(gaze)) < 0.7 else 0.040 * h
    limbs = [
        Limb("head", ("cranium", "chin"), (cranium, chin), paints.head(clothes, gaze, h), thickness=thick,
             cap=cranium / (0.060 * h)),
        Limb("head", ("nose_root", "nose"), (0.007 * h, 0.010 * h), skin),
    ]  # fmt: skip
    if clothes.hair_style in ("short", "bald", "bun"):
        for side in ("left", "right"):
            limbs.append(Limb("head", (f"{side}_ear", f"{side}_lobe"), (0.009 * h, 0.006 * h), skin))
    if clothes.hair_style == "long":
        width, depth = _flat(0.050 * h, 0.026 * h, yaw)
        limbs.append(Limb("hair", ("bun", "nape"), (width, width * 0.9), hair, thickness=depth, cap=1.6))
    elif clothes.hair_style == "bun":
        limbs.append(Limb("hair", ("bun", "bun_end"), (0.022 * h, 0.022 * h), hair))
    if clothes.hat == "cap":
        limbs.append(
            Limb("hair", ("brim", "brim_end"), (_flat(0.034 * h, 0.008 * h, gaze)[0], 0.016 * h), hat)
        )
    return limbs


def _side_limbs(identity: Identity, side: str, yaw: float) -> list[Limb]:
    clothes, build, h = identity.clothes, identity.build, identity.build.height
    thick, skin = h * build.girth**0.5, paints.plain(clothes.skin)
    colour = clothes.sleeve_left if side == "left" else clothes.sleeve_right
    patterned = colour == clothes.upper and clothes.upper_pattern != "block"
    sleeve = paints.cloth(colour, clothes.upper_second, clothes.upper_pattern if patterned else "plain", yaw)
    reach, upper_arm = clothes.sleeve * 0.324 * h, 0.172 * h
    loose = 0.003 * h if clothes.sleeve > 0.25 else 0.0
    bare_upper, bare_fore = reach < 0.02 * h, reach <= upper_arm + 0.01
    arm = skin if bare_upper else (sleeve if reach >= upper_arm else paints.ending(sleeve, reach, skin))
    limbs = [
        Limb(f"{side}_upper_arm", (f"{side}_shoulder", f"{side}_elbow"),
             (0.033 * thick + loose, 0.025 * thick + loose * (reach >= upper_arm)), arm),
        Limb(f"{side}_forearm", (f"{side}_elbow", f"{side}_wrist"),
             (0.024 * thick + loose * (not bare_fore), 0.017 * thick + loose * (not bare_fore)),
             skin if bare_fore else sleeve, bulge=0.002 * h),
        Limb(f"{side}_hand", (f"{side}_wrist", f"{side}_hand"), (0.016 * h, 0.014 * h), skin,
             bulge=0.004 * h),
    ]  # fmt: skip

    leg = clothes.leg_right if side == "right" else clothes.lower
    trousers = paints.cloth(leg, clothes.lower_second, clothes.lower_pattern, yaw, 0.8)
    covered = clothes.lower_kind == "trousers"
    loose = 0.005 * h if covered else 0.0
    thigh = trousers if clothes.lower_kind in ("trousers", "shorts") else skin
    if clothes.lower_kind == "shorts":
        thigh = paints.ending(trousers, 0.19 * h, skin)
    shin = paints.ending(skin, 0.15 * h, paints.plain(clothes.socks))
    if covered:
        shin = trousers
    skirt = {"skirt": 0.175, "dress": 0.225}.get(clothes.lower_kind, 0.0)
    if skirt:  # where a leg presses against the skirt, cloth is seen
        thigh = paints.ending(trousers, skirt * h, thigh)
    elif clothes.hem:
        coat = paints.cloth(clothes.upper, clothes.upper_second, clothes.upper_pattern, yaw)
        thigh = paints.ending(coat, (0.30 * clothes.hem - 0.018) * h, thigh)
    shoe = paints.plain(clothes.shoes)
    limbs += [
        Limb(f"{side}_thigh", (f"{side}_hip", f"{side}_knee"),
             (0.053 * thick, 0.032 * thick + loose), thigh, bulge=0.003 * h),
        Limb(f"{side}_shin", (f"{side}_knee", f"{side}_ankle"),
             (0.031 * thick + loose, 0.020 * thick + loose), shin, bulge=0.006 * h),
        Limb(f"{side}_foot", (f"{side}_heel", f"{side}_toe"), (0.023 * h, 0.018 * h), shoe, cap=1.2),
        Limb(f"{side}_foot", (f"{side}_heel", f"{side}_ankle"), (0.022 * h, 0.024 * h), shoe),
    ]  # fmt: skip
    return limbs


def _bag_limbs(identity: Identity, yaw: float) -> list[Limb]:
    clothes, h = identity.clothes, identity.build.height
    paint = paints.cloth(clothes.bag_colour, clothes.bag_colour, "plain", 0)
    if clothes.bag == "backpack":
        width, thick = _flat(0.075 * h, 0.045 * h, yaw)
        return [Limb("bag", ("back", "back_low"), (width * 0.9, width), paint, thickness=thick, cap=2.0)]
    if clothes.bag == "satchel":
        width, thick = _flat(0.022 * h, 0.062 * h, yaw)
        return [Limb("bag", ("satchel", "satchel_low"), (width, width), paint, thickness=thick, cap=2.0)]
    if clothes.bag == "handbag":
        width, thick = _flat(0.018 * h, 0.052 * h, yaw)
        return [Limb("bag", ("left_hand", "handbag"), (0.006 * h, width), paint, thickness=thick, cap=1.4)]
    return []


def limbs(identity: Identity, yaw: float, gaze: float, spread: float) -> list[Limb]:
    """All capsules of a walker.

    yaw, gaze: trunk and head relative to the camera, radians. spread: how far the legs reach at the hem of
    a skirt, to the front or the back, metres.
    """
    return [
        *_trunk_limbs(identity, yaw, spread), *_head_limbs(identity, yaw, gaze),
        *_side_limbs(identity, "left", yaw), *_side_limbs(identity, "right", yaw), *_bag_limbs(identity, yaw),
    ]  # fmt: skip


def extra_points(identity: Identity, points: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Points of clothes and things that follow from the skeleton's, [T, 3] in metres."""
    clothes, h = identity.clothes, identity.build.height
    down = np.array([0.0, -1.0, 0.0])
    pelvis, hand = points["pelvis"], points["left_hand"]
    length = 0.25 if clothes.lower_kind == "dress" else 0.20
    beside = points["left_hip"] * 2.3 - pelvis * 1.3
    return {
        "hem": points["waist"] + (0.05 + 0.30 * clothes.hem) * h * down,
        "skirt": pelvis + length * h * down,
        "satchel": beside + 0.02 * h * down,
        "satchel_low": beside + 0.10 * h * down,
        "handbag": hand + 0.13 * h * down,
    }


def reach_of_legs(identity: Identity, points: dict[str, np.ndarray]) -> np.ndarray:
    """How far the thighs reach to the front or back at a skirt's hem, [T] metres."""
    forward = np.stack([points[f"{side}_knee"][:, 2] - points["pelvis"][:, 2] for side in ("left", "right")])
    return 0.85 * np.abs(forward).max(0) + 0.042 * identity.build.height * identity.build.girth**0.5


def draw(
    canvas: Canvas,
    identity: Identity,
    points: dict[str, np.ndarray],
    yaw: float,
    gaze: float,
    spread: float,
    owner: int | None = None,
) -> list[Limb]:
    """Draw a walker and return the limbs. points: projected, each [4]; see `camera.View.project` and `limbs`.

    owner: of all pixels of the figure; None: OWNERS of the limb.
    """
    middle = points["pelvis"]
    parts = limbs(identity, yaw, gaze, spread)

    depths = [(points[p.ends[0]][2] + points[p.ends[1]][2]) / 2 - p.near * middle[3] for p in parts]
    for index in sorted(range(len(parts)), key=depths.__getitem__, reverse=True):
        limb = parts[index]
        behind = min(max((depths[index] - middle[2]) / (0.12 * middle[3]), 0.0), 1.0)
        canvas.capsule(
            (points[limb.ends[0]], points[limb.ends[1]]), limb.radii, owner or OWNERS[limb.owner], limb.paint,
            limb.bulge, limb.thickness, limb.cap, dim=1 - 0.38 * float(behind),
        )  # fmt: skip
    return parts


def visibility(canvas: Canvas, points: dict[str, np.ndarray]) -> np.ndarray:
    """COCO's flags [17]: 0 outside the frame, 1 hidden behind something, 2 visible."""
    flags = np.zeros(len(COCO_JOINTS), np.int64)
    for index, (joint, owners, slack) in enumerate(SEEN_ON):
        x, y, z, scale = points[joint].tolist()
        column, row = math.floor(x + 0.5), math.floor(y + 0.5)
        if not (0 <= column < canvas.width and 0 <= row < canvas.height):
            continue
        seen = int(canvas.owner[row, column]) in owners and z - canvas.depth[row, column] < slack * scale
        flags[index] = 2 if seen else 1
    return flags
