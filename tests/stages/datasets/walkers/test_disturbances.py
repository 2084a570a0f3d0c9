"""The hard look: what is decided, what is drawn of it, what is recorded."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.datasets.walkers import disturbances
from stages.datasets.walkers.camera import make_camera
from stages.datasets.walkers.config import WalkersConfig
from stages.datasets.walkers.disturbances import Disturbance, undisturbed
from stages.datasets.walkers.film import Film, film
from stages.datasets.walkers.plan import TrackletPlan, make_plan
from stages.datasets.walkers.record import COLUMNS, read_frame_records

CONFIG = WalkersConfig(seed=2, identities=32, cameras=4, tracklets=2, junk=2)
PLAN = make_plan(CONFIG)
HARD = [t for t in PLAN.tracklets() if t.disturbance]
LEGS = slice(4, 6)


def filmed(plan: TrackletPlan, disturbance: Disturbance | None) -> Film:
    plan = replace(plan, disturbance=disturbance, occluded=False)
    return film(plan, make_camera(CONFIG.seed, plan.camera, 1.0), 1.0)


def tracklet(**wanted) -> TrackletPlan:
    """The first tracklet whose disturbance has what is wanted."""
    return next(t for t in HARD if all(getattr(t.disturbance, k) is not None for k in wanted))


def test_the_stated_shares_of_tracklets_and_frames_are_disturbed():
    wrong = [t.disturbance for t in HARD]
    assert np.mean([d.thing is not None or d.passer is not None for d in wrong]) == pytest.approx(
        0.34, abs=0.01
    )
    assert np.mean([d.stranger is not None for d in wrong]) == pytest.approx(0.19, abs=0.01)
    assert np.mean([d.box_is_wrong for d in wrong]) == pytest.approx(0.71, abs=0.02)
    assert 0.04 <= np.concatenate([d.other for d in wrong]).mean() <= 0.065
    assert {t.person for t in PLAN.tracklets() if not t.disturbance} == {-1}


def test_nobody_is_taken_for_himself_and_no_test_person_walks_among_those_for_training():
    who = {id(t.identity): t for t in PLAN.tracklets()}
    for t in HARD:
        for stranger in (t.disturbance.stranger, *(
            c.identity for c in (t.disturbance.passer, t.disturbance.neighbour) if c
        )):  # fmt: skip
            if stranger is not None:
                assert stranger is not t.identity
                assert who[id(stranger)].train == t.train


def test_undisturbed_frames_are_those_of_the_clean_look():
    one, other = filmed(HARD[0], None), filmed(HARD[0], undisturbed(HARD[0].frames))
    assert np.array_equal(one.frames, other.frames)
    assert np.array_equal(one.keypoints, other.keypoints)


def test_cut_feet_are_outside_the_frame_and_recorded_as_hidden_legs():
    frames = HARD[0].frames
    wrong = undisturbed(frames)
    shift, zoom = wrong.shift.copy(), wrong.zoom.copy()
    shift[0], zoom[0] = (0, 0.25), 1.5
    made = filmed(HARD[0], replace(wrong, shift=shift, zoom=zoom))
    assert np.mean(made.records[0].hidden[LEGS]) > 0.4 > np.mean(made.records[1].hidden[LEGS])
    assert (made.keypoints[0, 15:, 2] == 0).all() and (made.keypoints[1, 15:, 2] > 0).all()
    assert made.records[0].shift == (0, 64) and made.records[0].zoom == 1.5


def test_a_shifted_box_moves_the_keypoints_by_what_is_recorded():
    wrong = undisturbed(HARD[0].frames)
    right, moved = (filmed(HARD[0], replace(wrong, shift=wrong.shift + s)) for s in (0.0, [0.08, -0.01]))
    both = (right.keypoints[..., 2] > 0) & (moved.keypoints[..., 2] > 0)
    by = (moved.keypoints - right.keypoints)[both][:, :2]
    assert np.allclose(by, moved.records[0].shift, atol=1e-3) and len(by) > 50


def test_another_person_hides_everything_of_the_named_one_and_has_keypoints_of_its_own():
    plan = tracklet(stranger=True)
    wrong = replace(
        undisturbed(plan.frames), stranger=plan.disturbance.stranger, other=plan.disturbance.other
    )
    made, named = filmed(plan, wrong), filmed(plan, None)
    for t, other in enumerate(wrong.other):
        assert made.records[t].other_person == other
        assert np.array_equal(made.frames[t], named.frames[t]) != other
        if other:
            assert made.records[t].hidden == (1.0,) * 6 and made.records[t].mostly_hidden
            assert not np.allclose(made.keypoints[t], named.keypoints[t])


@pytest.mark.parametrize("what", ["passer", "thing"])
def test_who_or_what_crosses_hides_the_walker_in_some_frames_only(what):
    plan = next(t for t in HARD if getattr(t.disturbance, what) is not None and t.frames >= 14)
    made = filmed(plan, replace(undisturbed(plan.frames), **{what: getattr(plan.disturbance, what)}))
    body = np.array([r.body for r in made.records])
    assert body.max() > 0.2 > 0.05 > body.min()
    covered = np.array([o.covered if o else 0 for o in made.occlusions])
    assert np.corrcoef(body, covered)[0, 1] > 0.9


def test_a_repeated_frame_is_the_one_before_it_and_a_lost_one_is_counted():
    steps = np.ones(HARD[0].frames, int)
    steps[2], steps[4] = 0, 3
    made = filmed(HARD[0], replace(undisturbed(len(steps)), steps=steps))
    assert [r.repeated for r in made.records[:4]] == [False, False, True, False]
    assert np.array_equal(made.frames[2], made.frames[1]) and not np.array_equal(
        made.frames[3], made.frames[2]
    )
    assert made.records[4].lost_before == 2


def test_blurred_frames_are_less_sharp():
    blur = np.zeros(HARD[0].frames)
    blur[1] = 2.0
    made, sharp = filmed(HARD[0], replace(undisturbed(len(blur)), blur=blur)), filmed(HARD[0], None)
    edges = [cv2.Laplacian(f.frames[1], cv2.CV_32F).std() for f in (made, sharp)]
    assert edges[0] < 0.8 * edges[1]
    assert made.records[1].blurred and not made.records[0].blurred


def test_a_box_error_is_one_per_tracklet_and_tiny_tracklets_are_dealt_too():
    lengths = [1, 2, 3, 40]
    dealt = disturbances.deal(
        np.random.default_rng(0), lengths * 10, [0] * 40, [HARD[0].identity, HARD[1].identity]
    )
    assert [len(d.steps) for d in dealt] == lengths * 10
    assert not any(d.other.any() for d in dealt if len(d.steps) == 1)
    assert all(d.steps[0] >= 1 for d in dealt)


def test_every_frame_has_a_record_that_can_be_read_again(walkers_tiny, tmp_path):
    records = read_frame_records(walkers_tiny)
    stored = json.loads((walkers_tiny / "walkers.json").read_text())
    assert stored["per_frame"]["columns"] == list(COLUMNS)
    with np.load(walkers_tiny / "keypoints.npz") as keypoints:
        assert list(records) == list(keypoints["frames"])
    frame, row = next((f, r) for f, r in stored["per_frame"]["frames"].items() if 0 < r[6] < 1)
    assert records[frame].row() == row
    (tmp_path / "walkers.json").write_text("{}")
    with pytest.raises(KeyReIDError, match=r"walkers\.json: not a record of every frame"):
        read_frame_records(tmp_path)
