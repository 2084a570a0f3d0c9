"""From your own video to a ranked answer, through the command line."""

import json
import shutil

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from cache.errors import KeyReIDError
from pipeline.cli import keyreid
from stages.reid.scoring.config import RerankConfig
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.search import SearchConfig, search
from tests.stages.pose import tiny
from tests.stages.reid.own import made_gallery, write_run


def call(*words):
    result = CliRunner(catch_exceptions=False).invoke(keyreid, [str(w) for w in words])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder with run/, two cameras cut from a made-up video, and their galleries."""
    folder = tmp_path_factory.mktemp("own")
    run = write_run(folder / "run", tiny.write_estimator(folder / "pose"))
    writer = cv2.VideoWriter(str(folder / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (320, 240))
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (320, 240))
    for _ in range(8):
        writer.write(image)
    writer.release()
    rows = [(n, t, 80 * t - 80, 20, 60, 150) for n in range(1, 9) for t in (1, 2, 3)]
    (folder / "tracks.txt").write_text("".join(f"{','.join(map(str, r))},1,-1,-1,-1\n" for r in rows))
    for camera in ("door", "yard"):
        call(
            "import-mot", "--video", folder / "v.avi", "--tracks", folder / "tracks.txt", "--camera", camera,
            "-o", folder / camera,
        )  # fmt: skip
        call(
            "embed", folder / camera, "--run", run, "-o", folder / f"{camera}.h5",
            "--cache", folder / "poses" / camera,
        )  # fmt: skip
    return folder


def test_the_same_person_in_the_other_cameras_gallery_is_the_answer(own):
    text = call("search", "--gallery", own / "yard.h5", "--query", own / "door.h5", "--json")
    records = json.loads(text)
    assert [r["answers"][0]["tracklet"] for r in records] == [
        f"yard-000{t}/yard/000001-000008" for t in (1, 2, 3)
    ]
    assert all(r["answers"][0]["distance"] < 1e-3 * r["answers"][1]["distance"] for r in records)
    assert "right" not in records[0]["answers"][0]  # a tracker's ids tell nothing about persons
    picture = cv2.imread(str(own / "yard-search.png"))
    assert picture is not None and picture.shape[0] > 600


def test_a_folder_of_pictures_is_a_query(own):
    folder = own / "door/door-0002/door/000001-000008"
    text = call(
        "search", "--gallery", own / "yard.h5", "--query", folder, "--no-picture", "--json", "--top", 1
    )
    assert json.loads(text)[0]["answers"][0]["tracklet"].startswith("yard-0002/")


def test_a_tracklet_of_one_of_several_galleries_is_a_query(own):
    text = call(
        "search", "--gallery", own / "yard.h5", "--gallery", own / "door.h5", "--query", "door-0003",
        "--other-cameras", "--threshold", "1e-9", "--no-picture",
    )  # fmt: skip
    assert "yard-0003/yard" in text and "door-0001" not in text
    assert "No match" in text or "yes" in text


def test_reranked_search_gives_reranked_distances(tmp_path):
    gallery = made_gallery()
    file = gallery.save(tmp_path / "g.h5")
    words = ("search", "--gallery", file, "--query", "p002/c2/0005", "--top", 5, "--no-picture")
    plain, reranked = (json.loads(call(*words, "--json", *more))[0] for more in ((), ("--rerank",)))
    config = SearchConfig(top=5, rerank=RerankConfig(enabled=True))
    found = search(gallery, np.array([5]), np.arange(40), config)
    assert [a["tracklet"] for a in reranked["answers"]] == gallery.names[found.matches[0]].tolist()
    assert [a["distance"] for a in reranked["answers"]] == pytest.approx(found.distances[0].tolist())
    assert [a["distance"] for a in plain["answers"]] != [a["distance"] for a in reranked["answers"]]
    assert [a["right"] for a in reranked["answers"]] == [True, True, True, False, False]
    assert f"{found.distances[0, 0]:.4g}" in call(*words, "--rerank")  # as a table
    for more, message in (
        (("--index", "flat"), "re-ranking needs every distance"),
        (("--threshold", "1"), "--threshold with --rerank"),
    ):
        with pytest.raises(KeyReIDError, match=message):
            call(*words, "--rerank", *more)


def test_embedding_again_takes_the_poses_that_are_there(own):
    before = (own / "poses/door/manifest.json").stat().st_mtime_ns
    out = call(
        "embed", own / "door", "--run", own / "run", "-o", own / "again.h5",
        "--cache", own / "poses/door", "--half",
    )  # fmt: skip
    assert "3 tracklets" in out and (own / "poses/door/manifest.json").stat().st_mtime_ns == before


def test_poses_of_frames_that_have_changed_are_not_used(own, tmp_path):
    words = ["embed", tmp_path / "door", "--run", own / "run", "-o", tmp_path / "g.h5"]
    words += ["--cache", tmp_path / "poses"]
    shutil.copytree(own / "door", tmp_path / "door")
    call(*words)
    before = Embeddings.load(tmp_path / "g.h5").features
    for frame in (tmp_path / "door/door-0001").rglob("*.jpg"):
        cv2.imwrite(str(frame), np.full((256, 128, 3), 90, np.uint8))
    with pytest.raises(KeyReIDError, match="--redo-poses"):
        call(*words)
    call(*words, "--redo-poses")
    after = Embeddings.load(tmp_path / "g.h5").features
    assert np.array_equal(before[1:], after[1:]) and not np.allclose(before[0], after[0])


def test_calibration_on_a_labelled_set_serves_the_search(own, walkers_tiny, tmp_path):
    gallery = tmp_path / "walkers.h5"
    call(
        "embed", "--dataset", "walkers", "--data-root", walkers_tiny, "--run", own / "run",
        "--camera-mode", "unknown", "--cache", tmp_path / "poses", "-o", gallery,
    )  # fmt: skip
    assert "true positives" in call("calibrate", gallery, "--fpr", "0.25")
    text = call(
        "search",
        "--gallery",
        own / "yard.h5",
        "--query",
        own / "door.h5",
        "--threshold",
        "fpr=0.25",
        "--json",
    )
    assert all("somebody" in record for record in json.loads(text))


def test_mistakes_are_one_line(own, tmp_path):
    other = write_run(tmp_path / "run", tiny.write_estimator(tmp_path / "pose"), seed=1)
    call("embed", own / "door", "--run", other, "-o", tmp_path / "o.h5", "--cache", own / "poses/door")
    for words, message in (
        (("search", "--gallery", own / "yard.h5", "--query", tmp_path / "o.h5"), "made by checkpoint"),
        (("embed", "--run", own / "run", "-o", tmp_path / "x.h5"), "either the folder"),
        (("embed", own / "nowhere", "--run", own / "run", "-o", tmp_path / "x.h5"), "does not exist"),
        (("embed", own / "door", "--run", tmp_path, "-o", tmp_path / "x.h5"), "no trained network"),
        (("embed", own / "door", "--run", own / "run", "-o", tmp_path), "there is a folder of that name"),
        (
            ("embed", own / "yard", "--run", own / "run", "-o", tmp_path / "x.h5", "--cache",
             own / "poses/door"),
            "made for other tracklets",
        ),
        (("calibrate", own / "door.h5"), "tracker's ids"),
        (
            ("search", "--gallery", own / "yard.h5", "--query", "yard-0001", "--threshold", "x"),
            "expected a distance",
        ),
    ):  # fmt: skip
        with pytest.raises(KeyReIDError, match=message) as caught:
            call(*words)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "x.h5").exists()
