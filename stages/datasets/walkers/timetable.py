"""When walkers pass which camera: a timetable of the place that a walkers data set was filmed in.

Every person comes as often as there are tracklets per camera, passes all cameras in their order or, where
filmed from behind, in the opposite one, and takes 20 to 40 s from one to the next. Somebody comes every 5 s
on average; every third person walks beside the one before. Strangers pass one camera at any time. Training
persons come on the day before. Nothing in the pictures follows from it.
"""

import math
from datetime import datetime, timedelta
from itertools import combinations

import numpy as np

from stages.datasets.times import written
from stages.datasets.walkers.plan import Plan, TrackletPlan

TRAVEL = "travel.yaml"  # in the data root, beside the table of times
START = datetime.fromisoformat("2026-11-26T08:00:00+01:00")
RATE = 7.0  # frames/s: steps of 0.21 m are a walk
_EVERY = 5.0  # seconds, mean time between two who come
_BESIDE = 1 / 3  # share of persons who walk beside the one before
_LEG = (20.0, 40.0)  # seconds from camera to camera
_PAUSE = 600.0  # seconds between a person's visits


def timetable(plan: Plan, seed: int) -> list[tuple]:
    """Rows of the table of times (`stages.datasets.times.COLUMNS`): training tracklets, then test ones."""
    rows = []
    for split, tracklets in enumerate((plan.train, plan.test)):
        start = START - timedelta(days=1 - split)
        times = _times(tracklets, np.random.default_rng([seed, 53, split]))
        for tracklet, seconds in zip(tracklets, times, strict=True):
            name = f"{'test' if split else 'train'}/{tracklet.name}F001"
            end = seconds + (tracklet.frames - 1) / RATE
            moments = written(start, seconds), written(start, end)
            rows.append((name, str(tracklet.camera), 1, tracklet.frames, *moments))
    return rows


def travel_times(cameras: int, longest: int) -> str:
    """The timetable's file of travel times, for `keyreid link --travel`: ways between all pairs of cameras.

    Each leg has a margin of 5 s, and 2 s for every camera in between.
    longest: frames of a tracklet; the clock runs from the last frame at one camera.
    """
    seconds = (longest - 1) / RATE
    lines = ["travel:  # seconds from one camera to the other"]
    for a, b in combinations(range(1, cameras + 1), 2):
        legs = b - a
        least = max(0, math.floor(_LEG[0] * legs - seconds))
        greatest = (_LEG[1] + 5) * legs + 2 * (legs - 1)
        lines.append(f"  - {{cameras: ['{a}', '{b}'], least: {least}, greatest: {greatest:.0f}}}")
    lines.append(f"away: {_PAUSE - math.ceil(seconds):.0f}  # a visit is over")
    return "\n".join(lines) + "\n"


def _times(tracklets: tuple[TrackletPlan, ...], rng: np.random.Generator) -> np.ndarray:
    """Seconds from the day's start to each tracklet's first frame: float64 [N]."""
    times = np.zeros(len(tracklets))
    visits: dict[int, dict[int, list[int]]] = {}  # number -> person -> tracklets
    for row, one in enumerate(tracklets):
        if one.person > 0:
            visits.setdefault(one.number, {}).setdefault(one.person, []).append(row)
    begin = 0.0
    for _, persons in sorted(visits.items()):
        enter, legs = begin, np.zeros(0)
        for person in rng.permutation(sorted(persons)).tolist():
            # in the order in which the person passes the cameras
            ordered = sorted(persons[person], key=lambda row: tracklets[row].camera)
            own = ordered[::-1] if tracklets[ordered[0]].reverse else ordered
            if len(legs) == len(own) and rng.random() < _BESIDE:
                enter += rng.uniform(0.2, 1.0)
            else:
                enter += rng.exponential(_EVERY)
                legs = rng.uniform(*_LEG, len(own))
            times[own] = enter + np.cumsum(legs) - legs[0]
        begin = times.max() + _PAUSE
    others = [row for row, one in enumerate(tracklets) if one.person <= 0]
    times[others] = rng.uniform(0, max(begin - _PAUSE, _EVERY), len(others))
    return times
