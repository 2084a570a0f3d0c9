"""From videos to tracklets: what is detected is cut out, whole or not at all, and not done twice."""

import csv
import json
import tracemalloc
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.datasets import load_dataset
from stages.datasets.times import read_times
from stages.datasets.walkers.street import StreetConfig, make_videos
from stages.tracks import install
from stages.tracks.cameras import load_cameras, tags
from stages.tracks.config import CameraConfig, CutConfig, TrackConfig
from stages.tracks.detect import Detections
from stages.tracks.motfile import read_boxes
from stages.tracks.track import records, run
from stages.tracks.truth import score_tracks

pytest.importorskip("trackers", reason="needs pip install --no-deps -r requirements/track.txt")

START = "2026-11-26T08:00:00+01:00"
CONFIG = TrackConfig(min_width=4, min_height=4)


class Squares:
    """Detects bright squares on black: a detector as good as the video."""

    name, sha256 = "squares", "0" * 64

    def __init__(self):
        self.calls = 0

    def detect(self, image: np.ndarray) -> Detections:
        self.calls += 1
        mask = (image.max(axis=2) > 100).astype(np.uint8)
        stats = cv2.connectedComponentsWithStats(mask)[2][1:]
        boxes = [(x, y, x + w, y + h) for x, y, w, h, area in stats if area > 30]
        return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), 0.9, np.float32))


def film(path: Path, frames: int = 30, gone: range = range(0), squares: int = 1) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 120))
    for number in range(1, frames + 1):
        image = np.zeros((120, 160, 3), np.uint8)
        for square in range(squares if number not in gone else 0):
            image[10 + 50 * square : 50 + 50 * square, 2 * number : 2 * number + 20] = 240
        writer.write(image)
    writer.release()
    return path


def camera(*files: Path, **options) -> CameraConfig:
    return CameraConfig(name="door", files=list(files), **options)


def go(out, *cameras, config=CONFIG, **options):
    return run(config, cameras, out, detector=Squares(), **options)


def test_tracklets_are_a_data_set_with_the_pixels_of_their_frames(tmp_path):
    out = go(tmp_path / "out", camera(film(tmp_path / "door.avi", squares=2), start=START))
    dataset = load_dataset("folder", out)
    assert {t.name.split("/")[0] for t in dataset.tracklets()} == {"door-0001", "door-0002"}
    crops = sorted((out / "door-0001").rglob("*.jpg"))
    assert len(crops) == 29 and crops[-1].name == "000030.jpg"  # a track is sure from its second frame on
    assert all(cv2.imread(str(crop)).mean() > 150 for crop in crops)
    (record,) = records(out)
    assert (record["frames"], record["tracks"], record["crops"]) == (30, 2, 58)
    (span,) = {t.span for t in dataset.tracklets()}
    assert span == read_times(out)["door-0001/door/000002-000030"]
    assert (span.start, span.end) == ("2026-11-26T08:00:00.100+01:00", "2026-11-26T08:00:02.900+01:00")


@pytest.mark.parametrize("tracker", ["bytetrack", "sort", "ocsort", "botsort"])
def test_every_tracker_follows_two_squares_and_their_tracks_are_a_mot_file(tmp_path, tracker):
    config = CONFIG.model_copy(update={"tracker": tracker})
    out = go(tmp_path / "out", camera(film(tmp_path / "door.avi", squares=2)), config=config)
    rows = [line.split(",") for line in (out / "door.txt").read_text().splitlines()]
    assert {len(row) for row in rows} == {10} and {row[1] for row in rows} == {"1", "2"}
    for frame, _, left, top, width, height, *_ in ([float(cell) for cell in row] for row in rows):
        assert abs(left - 2 * frame) < 3 and min(abs(top - 10), abs(top - 60)) < 3
        assert abs(width - 20) < 4 and abs(height - 40) < 4
    assert len(read_boxes(out / "door.txt", CutConfig(camera="door")).frame) == len(rows) > 50


def test_a_camera_whose_files_have_wrong_times_is_read_with_its_own_rate(tmp_path):
    out = go(tmp_path / "out", camera(film(tmp_path / "door.avi"), fps=5, start=START))
    (span,) = read_times(out).values()
    assert (span.start, span.end) == ("2026-11-26T08:00:00.200+01:00", "2026-11-26T08:00:05.800+01:00")


def test_a_gap_splits_a_tracklet_and_so_does_its_length(tmp_path):
    video = film(tmp_path / "door.avi", frames=40, gone=range(15, 20))
    config = CONFIG.model_copy(update={"max_gap": 3, "max_length": 15})
    out = go(tmp_path / "out", camera(video), config=config)
    names = sorted(name.split("/")[-1] for name in records(out)[0]["tracklets"])
    assert names == ["000002-000014", "000020-000034", "000035-000040"]


def test_videos_of_a_camera_follow_one_another_on_the_clock(tmp_path):
    files = [film(tmp_path / f"{name}.avi") for name in ("a", "b")]
    out = go(tmp_path / "out", camera(*files, start=START))
    first, second = (records(out)[i] for i in (0, 1))
    assert (first["tag"], second["tag"]) == ("door-a", "door-b")
    started = datetime.fromisoformat(second["start"]) - datetime.fromisoformat(first["start"])
    assert started.total_seconds() == pytest.approx(3.0)
    spans = read_times(go(tmp_path / "seconds", camera(*files)))
    assert spans["door-b-0001/door/000002-000030"].start == "3.100"


def test_persons_outside_the_region_and_small_ones_are_not_tracked(tmp_path):
    video = film(tmp_path / "door.avi", squares=2)
    upper = ((0, 0), (160, 0), (160, 60), (0, 60))
    out = go(tmp_path / "region", camera(video, region=upper))
    boxes = np.loadtxt(out / "door.txt", delimiter=",")
    assert set(boxes[:, 1]) == {1} and (boxes[:, 3] < 20).all()
    assert not records(go(tmp_path / "small", camera(video, min_height=60)))[0]["tracklets"]


def test_what_is_done_is_not_done_again_and_what_lacks_is(tmp_path):
    a, b = (film(tmp_path / f"{name}.avi") for name in ("a", "b"))
    out = tmp_path / "out"
    go(out, camera(a))
    detector = Squares()
    run(CONFIG, [camera(a, b)], out, detector=detector)
    assert detector.calls == 30 and [r["tag"] for r in records(out)] == ["door-a", "door-b"]
    next((out / "door-a-0001").rglob("*.jpg")).unlink()
    run(CONFIG, [camera(a, b)], out, detector=detector)
    assert detector.calls == 60 and len(list(out.rglob("*.jpg"))) == 58


def test_other_settings_are_refused_or_replace_everything_with_force(tmp_path):
    video = film(tmp_path / "door.avi", squares=2)
    out = go(tmp_path / "out", camera(video))
    one = CONFIG.model_copy(update={"min_length": 30})
    with pytest.raises(KeyReIDError, match=r"was tracked with other settings.*--force"):
        go(out, camera(video), config=one)
    assert len(list(out.rglob("*.jpg"))) == 58
    go(out, camera(video), config=one, force=True)
    assert not list(out.rglob("*.jpg")) and not (out / "door-0001").exists()


@pytest.mark.parametrize("moved", range(6))
def test_a_process_killed_while_results_are_put_in_place_loses_nothing(tmp_path, monkeypatch, moved):
    video, out = film(tmp_path / "door.avi", squares=2), tmp_path / "out"
    go(out, camera(video))
    real, calls = Path.replace, []

    def killed(self, target):
        if self.parent.name.endswith(".ready"):
            calls.append(self)
            if len(calls) > moved:
                raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    other = CONFIG.model_copy(update={"quality": 50})
    with pytest.raises(KeyboardInterrupt):
        go(out, camera(video), config=other, force=True)
    monkeypatch.setattr(Path, "replace", real)
    detector = Squares()
    run(other, [camera(video)], out, detector=detector)
    assert detector.calls == 0 and len(list(out.rglob("*.jpg"))) == 58
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_a_process_killed_while_it_tracks_leaves_what_was_there(tmp_path, monkeypatch):
    video, out = film(tmp_path / "door.avi"), tmp_path / "out"
    go(out, camera(video))
    before = sorted(path.name for path in out.rglob("*"))
    monkeypatch.setattr(install, "install", None)
    monkeypatch.setattr("stages.tracks.track.install", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        go(out, camera(video), config=CONFIG.model_copy(update={"quality": 50}), force=True)
    visible = sorted(p.name for p in out.rglob("*") if ".door.tmp" not in p.as_posix())
    assert visible == before


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "letter.txt").write_text("precious")
    with pytest.raises(KeyReIDError, match="holds something else"):
        go(out, camera(film(tmp_path / "door.avi")))
    assert (out / "letter.txt").read_text() == "precious"


def test_memory_does_not_grow_with_the_length_of_a_video(tmp_path):
    peaks = []
    go(tmp_path / "warm", camera(film(tmp_path / "warm.avi", 4)))
    for frames in (20, 120):
        path = tmp_path / f"{frames}.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 120))
        image = np.zeros((120, 160, 3), np.uint8)
        image[20:60, 20:40] = 240
        for _ in range(frames):
            writer.write(image)
        writer.release()
        tracemalloc.start()
        go(tmp_path / str(frames), camera(path), config=CONFIG.model_copy(update={"max_length": 20}))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 50_000


def test_a_video_that_is_missing_is_named_before_any_work(tmp_path):
    detector = Squares()
    cameras = [camera(film(tmp_path / "a.avi"), tmp_path / "none.avi")]
    with pytest.raises(KeyReIDError, match=r"none\.avi: no such video"):
        run(CONFIG, cameras, tmp_path / "out", detector=detector)
    assert detector.calls == 0


def test_videos_of_one_name_are_told_apart_by_their_folder():
    paths = [Path("mon/clip.mp4"), Path("tue/clip.mp4"), Path("door-3.mp4")]
    assert tags(camera(*paths)) == ["door-mon-clip", "door-tue-clip", "door-3"]
    with pytest.raises(KeyReIDError, match="two of its videos"):
        tags(camera(Path("a/clip.mp4"), Path("b/a/clip.mp4")))


@pytest.mark.parametrize(
    "text, said",
    [
        ("cameras: []", "cameras"),
        ("cameras: [{name: ../x, files: [a.mp4]}]", "cameras.0.name"),
        ("cameras: [{name: a, files: [a.mp4], start: 2026-11-26T08:00:00}]", "offset from UTC"),
        ("cameras: [{name: a, files: [a.mp4], start: 20261126}]", "'20261126' is not a clock time"),
        ("cameras: [{name: a, files: [a.mp4], region: [[0, 0], [1, 1]]}]", "at least 3"),
        ("cameras: [{name: a, files: [x.mp4]}, {name: a, files: [y.mp4]}]", "listed twice"),
        ("cameras: [{name: a, files: [x.mp4], zoom: 3}]", "zoom"),
        ("- just a list", "not a list of cameras"),
    ],
)
def test_a_wrong_cameras_file_is_named_with_its_key(tmp_path, text, said):
    path = tmp_path / "cameras.yaml"
    path.write_text(text)
    with pytest.raises(KeyReIDError, match=r"cameras\.yaml: ") as caught:
        load_cameras(path)
    assert said in str(caught.value)


def test_walkers_who_cross_are_found_and_followed(tmp_path):
    pytest.importorskip("onnxruntime")
    street = StreetConfig(persons=2, size=(480, 270), cameras=1)
    (door,) = load_cameras(make_videos(street, tmp_path))
    out = run(TrackConfig(), [door], tmp_path / "out", device="cpu")
    scores = score_tracks(tmp_path / "door.truth.txt", out / "door.txt")
    assert scores["recall"] > 0.75 and scores["precision"] > 0.9 and scores["IDF1"] > 0.5


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_six_real_people_are_followed_each_by_one_track(tmp_path, real_data):
    pytest.importorskip("onnxruntime")
    with (real_data / "mini-mars/boxes.csv").open(newline="") as file:
        rows = [
            f"{int(r['video_frame']) + 1},{r['pid']},{r['x']},{r['y']},{r['w']},{r['h']},1,1,1\n"
            for r in csv.DictReader(file)
        ]
    (tmp_path / "truth.txt").write_text("".join(rows))
    out = run(TrackConfig(), [camera(real_data / "videos/one-by-one.mp4")], tmp_path / "out", device="cpu")
    scores = score_tracks(tmp_path / "truth.txt", out / "door-one-by-one.txt", sparse=True)
    assert scores["IDF1"] >= 0.9 and records(out)[0]["tracks"] == 6


def test_sparse_truth_judges_its_own_frames_alone(tmp_path):
    rows = "{},1,{},10,20,40,1,1,1\n"
    (tmp_path / "truth.txt").write_text("".join(rows.format(n, n) for n in range(2, 20, 2)))
    tracked = "".join(f"{n},7,{n},10,20,40,0.9,-1,-1,-1\n" for n in range(1, 31))
    (tmp_path / "tracks.txt").write_text(tracked)
    dense, sparse = (
        score_tracks(tmp_path / "truth.txt", tmp_path / "tracks.txt", sparse=s) for s in (False, True)
    )
    assert sparse["IDF1"] == 1.0 and dense["precision"] == pytest.approx(0.3)


@pytest.mark.parametrize("sparse", [False, True])
def test_the_file_that_is_missing_is_named_be_it_truth_or_tracks(tmp_path, sparse):
    (tmp_path / "here.txt").write_text("1,1,10,10,20,40,1,1,1\n")
    for names in (("gone.txt", "here.txt"), ("here.txt", "gone.txt")):
        with pytest.raises(KeyReIDError, match=r"/gone\.txt: missing"):
            score_tracks(*(tmp_path / name for name in names), sparse=sparse)


def test_a_record_is_plain_json_with_the_source(tmp_path):
    video = film(tmp_path / "door.avi")
    out = go(tmp_path / "out", camera(video))
    record = json.loads((out / "door.track.json").read_text())
    assert record["source"] == str(video) and record["detector"]["name"] == "squares"
