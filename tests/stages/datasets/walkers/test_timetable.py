"""The timetable of walkers: possible ways, the same every time, known to who loads the data set."""

from itertools import combinations, pairwise

import pytest

from stages.datasets.times import TIMES, moment, read_times, write_times
from stages.datasets.walkers.config import WalkersConfig
from stages.datasets.walkers.plan import make_plan
from stages.datasets.walkers.timetable import RATE, TRAVEL, timetable, travel_times
from stages.reid.search.link_files import read_travel

CONFIG = WalkersConfig(identities=24, distractors=3, junk=2)


@pytest.fixture(scope="module")
def plan():
    return make_plan(CONFIG)


def test_every_tracklet_has_its_time_and_the_table_is_the_same_each_time(plan, tmp_path):
    rows = timetable(plan, 0)
    assert rows == timetable(plan, 0) and rows != timetable(plan, 1)
    write_times(tmp_path / TIMES, rows)
    spans = read_times(tmp_path)
    assert len(spans) == len(rows) == len(plan.tracklets())
    for tracklet, row in zip(plan.tracklets(), rows, strict=True):
        span = spans[row[0]]
        assert row[0].endswith(f"{tracklet.name}F001") and span.last == tracklet.frames
        length = moment(span.end)[1] - moment(span.start)[1]
        assert length == pytest.approx((tracklet.frames - 1) / RATE, abs=2e-3)


def test_a_visit_passes_the_cameras_in_order_within_the_time_of_a_walk(plan):
    visits: dict = {}
    for one, row in zip(plan.tracklets(), timetable(plan, 0), strict=True):
        if one.person > 0:
            visits.setdefault((one.person, one.number), []).append((moment(row[4])[1], one.camera))
    for visit in visits.values():
        visit.sort()
        cameras = [camera for _, camera in visit]
        assert cameras in ([1, 2, 3, 4], [4, 3, 2, 1])
        assert all(20 <= b[0] - a[0] <= 40 for a, b in pairwise(visit))
    assert len(visits) == 48


def test_some_are_before_a_camera_at_once(plan):
    rows = zip(plan.tracklets(), timetable(plan, 0), strict=True)
    test = [(one, moment(row[4])[1], moment(row[5])[1]) for one, row in rows if not one.train]
    both = sum(
        a.camera == b.camera and a.person != b.person and start <= other_end and other <= end
        for a, start, end in test
        for b, other, other_end in test
    )
    assert both >= 10
    assert not any(
        a is not b and (a.person, a.camera) == (b.person, b.camera) and a.person > 0 and s <= f and t <= e
        for a, s, e in test
        for b, t, f in test
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_everybody_keeps_to_the_travel_times(plan, tmp_path, seed):
    (tmp_path / TRAVEL).write_text(travel_times(CONFIG.cameras, CONFIG.max_frames))
    ways = {way.cameras: way for way in read_travel(tmp_path / TRAVEL)}
    assert len(ways) == 6 and ways["1", "4"].greatest > ways["1", "2"].greatest
    visits: dict = {}
    for one, row in zip(plan.tracklets(), timetable(plan, seed), strict=True):
        if one.person > 0:
            visits.setdefault(one.person, {}).setdefault(one.number, []).append(
                (moment(row[4])[1], moment(row[5])[1], str(one.camera))
            )
    for person in visits.values():
        for visit in person.values():
            for (_, end, a), (start, _, b) in combinations(sorted(visit), 2):
                way = ways[min(a, b), max(a, b)]
                assert way.least <= start - end <= way.greatest
        first, second = (sorted(visit) for _, visit in sorted(person.items()))
        assert second[0][0] - first[-1][1] >= ways["1", "2"].away
