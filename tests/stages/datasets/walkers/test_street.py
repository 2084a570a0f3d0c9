"""Videos of walkers who cross: exact boxes, the same persons before every camera, reproducible."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from stages.datasets.walkers.street import StreetConfig, film_street, make_videos
from stages.reid.search.link_files import read_travel
from stages.tracks.cameras import load_cameras
from stages.tracks.stream import VideoStream

CONFIG = StreetConfig(persons=2, size=(240, 136), pause=1)


def test_two_persons_cross_and_the_nearer_hides_the_other():
    frames = list(film_street(CONFIG, 1))
    both = [frame for frame in frames if len(frame.seen) == 2]
    left = [{one.person: one.box[0] for one in frame.seen} for frame in both]
    assert left[0][1] < left[0][2] and left[-1][1] > left[-1][2]
    least = {p: min(one.visible for frame in frames for one in frame.seen if one.person == p) for p in (1, 2)}
    assert min(least.values()) < 0.8 and max(least.values()) == 1.0


def test_a_box_holds_the_pixels_that_change_when_somebody_comes_and_no_more():
    frames = list(film_street(CONFIG, 1))
    first = frames[0].image.astype(int)  # nobody is in the picture yet
    assert not frames[0].seen
    frame = next(f for f in frames if len(f.seen) == 1 and f.seen[0].box[0] > 10)
    left, top, right, bottom = frame.seen[0].box
    changed = np.abs(frame.image - first).sum(axis=2) > 90
    changed[bottom - 12 :] = False  # the shadow
    rows, columns = np.nonzero(changed)
    assert columns.min() >= left - 3 and columns.max() < right + 3 and rows.min() >= top - 3
    assert rows.min() < top + 6


def test_frames_follow_from_the_seed():
    one, same, other = (
        next(iter(film_street(CONFIG.model_copy(update={"seed": seed}), 1))).image for seed in (3, 3, 4)
    )
    assert (one == same).all() and (one != other).any()


def test_videos_come_with_their_truth_and_cameras(tmp_path: Path):
    listed = make_videos(CONFIG, tmp_path)
    door, yard = load_cameras(listed)
    assert (door.name, yard.name) == ("door", "yard") and (yard.start - door.start).total_seconds() == 60
    frames = [len(frame.seen) for frame in film_street(CONFIG, 1)]
    assert (tmp_path / "yard.truth.txt").is_file()
    stream = VideoStream(door.files[0].file)
    assert (stream.rate, sum(1 for _ in stream)) == (10, len(frames))
    (way,) = read_travel(tmp_path / "travel.yaml")
    assert way.cameras == ("door", "yard") and 30 < way.least <= 60 <= way.greatest < 90
    truth = [line.split(",") for line in (tmp_path / "door.truth.txt").read_text().splitlines()]
    assert len(truth) == sum(frames) and {row[1] for row in truth} == {"1", "2"}


@pytest.mark.parametrize("field", [{"travel": 1e30}, {"start": "9999-12-31T23:00:00+00:00"}])
def test_the_last_video_starts_on_a_day_of_the_calendar(field):
    with pytest.raises(ValidationError, match=next(iter(field))):
        StreetConfig(**field)
