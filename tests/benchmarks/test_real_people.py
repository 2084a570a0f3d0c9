"""The benchmarks on real people, on a few made pictures in the layout of Market-1501."""

import csv
import json

import cv2
import numpy as np
import pytest

from benchmarks import occluded_queries, real_people, real_poses
from benchmarks.made import market as market_subset
from benchmarks.made.occluded import SHARES, occlude
from stages.datasets import load_dataset
from stages.pose.importing import ImportConfig, run
from stages.reid.scoring.compare import write_queries
from tests.stages.datasets.layouts import MARKET, write_images


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """Noise in place of persons, and keypoints of all its images."""
    root = write_images(tmp_path_factory.mktemp("market"), MARKET)
    rng = np.random.default_rng(1)
    for path in root.glob("*/*.jpg"):
        cv2.imwrite(str(path), rng.integers(0, 255, (128, 64, 3), np.uint8))
    frames = load_dataset("market1501", root).frames()
    spots = rng.uniform((4, 4, 0.5), (60, 124, 1), (len(frames), 17, 3)).astype(np.float32)
    np.savez(root / "keypoints.npz", names=np.array(frames), keypoints=spots)
    return root


def picture(seed):
    return np.random.default_rng(seed).integers(0, 255, (128, 64, 3), np.uint8)


def test_about_the_share_that_was_asked_for_is_hidden_and_nothing_else_changes():
    seen = set()
    for number in range(120):
        made = occlude(picture(1), picture(2), f"query/{number}.jpg", seed=3)
        again = occlude(picture(1), picture(2), f"query/{number}.jpg", seed=3)
        assert np.array_equal(made.picture, again.picture) and made.share in SHARES
        assert abs(made.hidden.mean() - made.share) < 0.11
        assert np.array_equal(made.picture[~made.hidden], picture(1)[~made.hidden])
        seen.add(made.kind)
    assert seen == {"none", "rectangle", "hedge", "car", "bin", "board", "pole"}
    other = [occlude(picture(1), picture(2), f"query/{n}.jpg", seed=4).share for n in range(20)]
    assert other != [occlude(picture(1), picture(2), f"query/{n}.jpg", seed=3).share for n in range(20)]


def test_a_data_root_with_occluded_queries_is_made_and_scored(market, tmp_path, capsys):
    out = tmp_path / "occluded"
    words = ["--data-root", str(market), "--keypoints", str(market / "keypoints.npz"), "--make", str(out)]
    occluded_queries.main(words)
    first = capsys.readouterr().out
    occluded_queries.main([*words[:-1], str(tmp_path / "again")])
    assert first.split()[-1] == capsys.readouterr().out.split()[-1]  # the digest
    data = load_dataset("market1501", out)
    assert [t.name for t in data.query] == [t.name for t in load_dataset("market1501", market).query]
    assert data.query[0].frames == ("query/0001_c1s1_001051_00.png",) and len(data.gallery) == 8
    run(data, ImportConfig(poses=out / "keypoints.npz"), tmp_path / "poses")  # has all of its frames
    with (out / "occlusion.csv").open() as file:
        rows = list(csv.DictReader(file))
    poses = dict(zip(*np.load(out / "keypoints.npz").values(), strict=True))
    for row in rows:
        assert int(row["joints"]) == (poses[f"{row['query']}.png"][:, 2] >= 0.3).sum()
    (tmp_path / "plain").mkdir()
    scores = [("standard", row["query"], 1, 0.5, 0.5, number + 1) for number, row in enumerate(rows)]
    write_queries(tmp_path / "plain" / "queries.csv", scores)
    occluded_queries.main(["--data-root", str(out), "--evals", str(tmp_path / "plain")])
    assert capsys.readouterr().out.splitlines()[-1].split()[-1] == "50.0"  # Rank-1 of one query in two


def test_joints_under_the_occluder_are_those_at_hidden_pixels():
    hidden = np.zeros((128, 64), bool)
    hidden[100:] = True
    pose = np.zeros((17, 3))
    pose[:4, :2] = [[5, 99.4], [5, 99.6], [5, 127], [5, 140]]
    assert np.flatnonzero(occluded_queries.covered(pose, hidden)).tolist() == [1, 2]


def test_keypoints_agree_with_the_heat_that_was_made_of_them(market, tmp_path, capsys):
    data = load_dataset("market1501", market)
    run(data, ImportConfig(poses=market / "keypoints.npz"), tmp_path / "poses")
    words = ["--data-root", str(market), "--keypoints", str(market / "keypoints.npz"), "--every", "1"]
    real_poses.main([*words, "--cache", str(tmp_path / "poses")])
    said = capsys.readouterr().out
    assert "PCK at 0.05 1.000, at 0.1 1.000" in said and "left arm" in said
    rows = [
        line.split()
        for line in said.splitlines()
        if line.strip().startswith(("head", "torso", "left", "right"))
    ]
    assert all(float(words[-8]) >= 80 for words in rows)  # noise puts joints of several parts in one cell


def test_every_row_is_a_list_of_commands_and_what_is_there_is_not_made_again(market, tmp_path, capsys):
    words = ["--data-root", str(market), "--keypoints", str(market / "keypoints.npz"), "--dry-run"]
    words += ["--out", str(tmp_path), "--rows", "main", "plain"]
    real_people.main(words)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("$")]
    kinds = [line.split()[2] for line in said]
    assert kinds.count("import-poses") == 2 and kinds.count("train") == 6 and kinds.count("eval") == 12
    (tmp_path / "poses-given").mkdir()
    (tmp_path / "poses-given/manifest.json").touch()
    real_people.main(words)
    assert "import-poses" not in capsys.readouterr().out


def test_a_smaller_data_set_is_links_to_persons_whom_two_cameras_filmed_twice(tmp_path):
    seen = {1: "11 12 21 22", 2: "11 12 21", 3: "11 12 31 32", 4: "11 12 13", -1: "11 12 21 22"}
    for folder in market_subset.FOLDERS:
        (tmp_path / "all" / folder).mkdir(parents=True)
        for person, images in seen.items():
            for camera, number in images.split():
                who = "-1" if person < 0 else f"{person:04d}"
                name = f"{who}_c{camera}s1_00000{number}_00.jpg"
                (tmp_path / "all" / folder / name).write_text(name)
    for _ in range(2):  # what is there is left
        root = market_subset.with_fewer(tmp_path / "all", 2, tmp_path / "some")
    for folder in market_subset.FOLDERS:
        images = sorted((root / folder).iterdir())
        assert {image.name[:4] for image in images} == {"0001", "0003"} and len(images) == 8
        assert all(image.read_text() == image.name for image in images)
    one = market_subset.with_fewer(tmp_path / "all", 1, tmp_path / "one")
    chosen = [{image.name[:4] for image in (one / folder).iterdir()} for folder in market_subset.FOLDERS]
    assert chosen[1] == chosen[2] and all(len(persons) == 1 for persons in chosen)


def test_the_table_has_a_line_for_each_scored_seed_and_for_each_baseline(tmp_path):
    for seed, score in ((1, 0.4), (3, 0.5)):
        folder = tmp_path / f"main-{seed}/sequence"
        folder.mkdir(parents=True)
        scores = {"mAP": score, "rank1": 0.6, "interval95": {"mAP": [score - 0.1, score + 0.1]}}
        (folder / "metrics.json").write_text(json.dumps({"protocols": {"queries-kept": scores}}))
    baselines = {"colour histograms": {"mAP": 0.05, "rank1": 0.17}}
    (tmp_path / "main-1/sequence/baselines.json").write_text(json.dumps(baselines))
    assert real_people.figures("main", real_people.parse(["--out", str(tmp_path)])) == [
        "| heat of the given keypoints, seed 1 | 40.0 (30.0 to 50.0) | 60.0 | - | - |",
        "| colour histograms | 5.0 | 17.0 | - | - |",
        "| heat of the given keypoints, seed 3 | 50.0 (40.0 to 60.0) | 60.0 | - | - |",
    ]


def test_a_row_is_compared_with_main_query_by_query_over_the_seeds_that_both_have(tmp_path):
    for row, seed, ap in (
        ("main", 1, 0.5),
        ("main", 2, 0.7),
        ("main", 3, 0.9),
        ("plain", 1, 0.4),
        ("plain", 2, 0.4),
    ):
        folder = tmp_path / f"{row}-{seed}/image"
        folder.mkdir(parents=True)
        write_queries(folder / "queries.csv", [("standard", f"q{n}", n // 2, ap, 0.1, 1) for n in range(8)])
    [line] = real_people.gains("plain", real_people.parse(["--out", str(tmp_path)]))
    assert line.startswith("main against plain, image, 2 seeds: +20.0 mAP (")
    assert real_people.gains("walkers", real_people.parse(["--out", str(tmp_path)])) == []
