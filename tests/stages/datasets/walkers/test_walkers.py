"""The walkers themselves: clothes, gait, projection, visibility."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.manifest import COCO_JOINTS
from stages.datasets.walkers import body, figure
from stages.datasets.walkers.camera import View
from stages.datasets.walkers.config import WalkersConfig
from stages.datasets.walkers.draw import Canvas
from stages.datasets.walkers.plan import make_plan
from stages.datasets.walkers.wardrobe import Decks, Identity, changed_parts, draw_build, draw_clothes

JOINT = {name: i for i, name in enumerate(COCO_JOINTS)}


def identity(seed: int = 0) -> Identity:
    rng = np.random.default_rng(seed)
    return Identity(draw_clothes(rng, Decks(rng)), draw_build(rng))


def drawn(who: Identity, yaw: float, phase: float = 0.8, elevation: float = 0.15):
    """One walker before a magenta void: canvas and keypoint table [17, 3]."""
    points = body.pose(who.build, np.array([phase]), ("free", "free"), np.zeros(1))
    points |= figure.extra_points(who, points)
    spread = float(figure.reach_of_legs(who, points)[0])
    view = View(np.array([yaw]), elevation, 6.0, np.array([125.0]), np.array([[80.0, 128.0]]), 0.87)
    here = {name: view.project(p)[0] for name, p in points.items()}
    void = np.broadcast_to(np.array([1, 0, 1], np.float32).reshape(3, 1, 1), (3, 256, 160)).copy()
    canvas = Canvas(void, (0.3, 0.95), 0.6)
    figure.draw(canvas, who, here, yaw, yaw, spread)
    flags = figure.visibility(canvas, here)
    return canvas, np.array([[*here[j][:2], f] for j, f in zip(COCO_JOINTS, flags, strict=True)])


def seen(keypoints: np.ndarray) -> set[str]:
    return {name for name, i in JOINT.items() if keypoints[i, 2] == 2}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), yaw=st.floats(-3.1, 3.1), phase=st.floats(0, 6.3))
def test_a_visible_joint_lies_on_the_figure(seed, yaw, phase):
    canvas, keypoints = drawn(identity(seed), yaw, phase)
    for x, y, flag in keypoints:
        column, row = round(float(x)), round(float(y))
        if flag == 2:
            assert 0 < canvas.owner[row, column] < 255
            assert np.abs(canvas.picture[:, row, column] - [1, 0, 1]).max() > 0.02


def test_the_face_is_seen_from_the_front_and_not_from_behind():
    face = {"nose", "left_eye", "right_eye"}
    assert face <= seen(drawn(identity(), 0.0)[1])
    assert not face & seen(drawn(identity(), np.pi)[1])


@pytest.mark.parametrize(
    ("yaw", "near", "far"), [(np.pi / 2, "right", "left"), (-np.pi / 2, "left", "right")]
)
def test_from_the_side_the_near_half_is_seen_and_the_far_shoulder_and_ear_are_not(yaw, near, far):
    who = next(
        i for i in map(identity, range(50)) if i.clothes.hair_style == "short" and i.clothes.bag == "none"
    )
    visible = seen(drawn(who, yaw)[1])
    assert {f"{near}_shoulder", f"{near}_elbow", f"{near}_knee", f"{near}_ankle"} <= visible
    assert not {f"{far}_shoulder", f"{far}_ear", f"{far}_hip"} & visible


def test_coming_towards_the_camera_left_is_on_the_right_of_the_picture_and_going_away_on_the_left():
    towards, away = drawn(identity(), 0.0)[1], drawn(identity(), np.pi)[1]
    for part in ("shoulder", "hip"):
        left, right = JOINT[f"left_{part}"], JOINT[f"right_{part}"]
        assert towards[left, 0] > towards[right, 0]
        assert away[left, 0] < away[right, 0]


def test_arms_swing_against_the_legs_and_a_foot_is_always_on_the_ground():
    build = identity(3).build
    points = body.pose(build, np.linspace(0, 2 * np.pi, 48, endpoint=False), ("free", "free"), np.zeros(48))
    for side in ("left", "right"):
        ankle, wrist = points[f"{side}_ankle"][:, 2], points[f"{side}_wrist"][:, 2]
        assert np.corrcoef(ankle, wrist)[0, 1] < -0.6
    assert np.corrcoef(points["left_ankle"][:, 2], points["right_ankle"][:, 2])[0, 1] < -0.6
    soles = np.stack([points[f"{s}_{p}"][:, 1] for s in ("left", "right") for p in ("heel", "toe")])
    assert np.allclose(soles.min(0), 0.016 * build.height)


def test_limbs_keep_their_length_through_the_whole_stride():
    points = body.pose(identity(4).build, np.linspace(0, 6, 20), ("free", "phone"), np.zeros(20))
    for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist")):
        for side in ("left", "right"):
            lengths = np.linalg.norm(points[f"{side}_{a}"] - points[f"{side}_{b}"], axis=1)
            assert np.ptp(lengths) < 1e-9


def test_at_least_a_quarter_of_the_persons_share_all_clothes_but_one_part_with_another():
    plan = make_plan(WalkersConfig())
    clothes = {t.person: t.identity.clothes for t in plan.tracklets() if t.person > 0}
    for a, b, part in plan.pairs:
        assert changed_parts(clothes[a], clothes[b]) == [part]
        assert a % 2 == b % 2  # both train or both test
    assert len({p for a, b, _ in plan.pairs for p in (a, b)}) >= len(clothes) / 4
    assert {part for _, _, part in plan.pairs} == {"head", "torso", "arms", "legs", "shoes", "bag"}


def test_persons_who_are_no_pair_differ_in_more_than_one_part():
    plan = make_plan(WalkersConfig(seed=1))
    clothes = {t.person: t.identity.clothes for t in plan.tracklets() if t.person > 0}
    paired = {frozenset(p[:2]) for p in plan.pairs}
    for a in clothes:
        for b in clothes:
            if a < b and frozenset((a, b)) not in paired:
                assert len(changed_parts(clothes[a], clothes[b])) > 1
