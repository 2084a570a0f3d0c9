"""The pieces of the report: histograms, camera pairs, groups, charts, attention."""

import base64
import math
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cache.errors import KeyReIDError
from stages.datasets.tracklet import Tracklet
from stages.reid.data.clips import consecutive_clips, spread_clips
from stages.reid.data.config import ClipConfig
from stages.reid.model.weights import load_model
from stages.reid.scoring.config import EvalConfig, RerankConfig
from stages.reid.scoring.distances import distance_rows
from stages.reid.scoring.embeddings import TestSet
from stages.reid.scoring.metrics import score_ranking
from stages.reid.scoring.protocols import PROTOCOLS, gallery_of
from stages.report.attention import look, middle_clips
from stages.report.charts import Series, line_chart, thinned
from stages.report.contents import Scored
from stages.report.distances import BINS, Histogram, analyse
from stages.report.failures import best_and_worst, by_title
from stages.report.occlusion import by_cover, by_heat, of_tracklet, read_occluders
from stages.report.page import flat
from stages.report.pictures import Pictures

numbers = st.floats(0, 1e6, allow_nan=False, width=32)


@given(st.lists(st.lists(numbers, min_size=1, max_size=20), min_size=1, max_size=5))
def test_a_histogram_filled_in_pieces_counts_as_one_filled_at_once(pieces):
    histogram = Histogram(2)
    for i, piece in enumerate(pieces):
        histogram.add(i % 2, np.array(piece))
    for row in range(2):
        values = np.array([v for i, piece in enumerate(pieces) if i % 2 == row for v in piece])
        place = np.minimum((values * (BINS / histogram.top)).astype(int), BINS - 1)
        # Folding two bins into one moves nothing across the border of a wider bin, but rounding may.
        expected = np.bincount(place, minlength=BINS)
        assert np.abs(np.cumsum(histogram.counts[row]) - np.cumsum(expected)).max(initial=0) <= len(values)
        assert histogram.counts[row].sum() == len(values)
    edges, coarse = histogram.coarse(48)
    assert coarse.sum() == sum(map(len, pieces)) and len(edges) == coarse.shape[1] + 1
    assert edges[-1] >= max(v for piece in pieces for v in piece) * 0.999


def test_histogram_leaves_out_what_is_not_finite_and_doubles_its_range():
    histogram = Histogram(1)
    histogram.add(0, np.array([1.0, 0.25]))
    histogram.add(0, np.array([np.inf, 7.0]))
    assert histogram.top == 8 and histogram.counts.sum() == 3
    assert histogram.counts[0, BINS // 8 - 1] == 1 and histogram.counts[0, BINS // 32] == 1


@pytest.fixture
def embeddings() -> TestSet:
    rng = np.random.default_rng(3)
    persons = rng.integers(-1, 5, 60)
    persons[:20] = rng.integers(1, 5, 20)
    return TestSet(
        features=(rng.normal(size=(60, 6)) + persons[:, None]).astype(np.float32),
        names=np.array([f"t{i}" for i in range(60)]),
        persons=persons,
        cameras=rng.integers(1, 4, 60),
        query=np.arange(12),
        gallery=np.arange(60),
    )


@pytest.mark.parametrize("protocol", ["official", "queries-dropped"])
def test_camera_pairs_are_scored_as_a_gallery_of_that_camera_alone(embeddings: TestSet, protocol: str):
    rule = PROTOCOLS[protocol]
    found = analyse(embeddings, rule, EvalConfig(block=5))
    gallery = gallery_of(rule, embeddings.query, embeddings.gallery, embeddings.persons)
    distances = distance_rows(embeddings, gallery, "euclidean")(embeddings.query)
    persons, cameras = embeddings.persons, embeddings.cameras
    assert found.pairs
    for pair in found.pairs:
        q = np.flatnonzero(cameras[embeddings.query] == pair.query_camera)
        g = np.flatnonzero(cameras[gallery] == pair.gallery_camera)
        query, kept = embeddings.query[q], gallery[g]
        expected = score_ranking(
            distances[np.ix_(q, g)], persons[query], persons[kept], cameras[query], cameras[kept]
        )
        assert pair.queries == expected.num_valid
        assert pair.mean_ap == pytest.approx(expected.mean_ap)
        assert pair.rank1 == pytest.approx(expected.cmc[0])


def test_every_ranked_pair_is_counted_once_as_right_or_wrong(embeddings: TestSet):
    found = analyse(embeddings, PROTOCOLS["official"], EvalConfig(block=5))
    distances = distance_rows(embeddings, embeddings.gallery, "euclidean")(embeddings.query)
    right, wrong = [], []
    for q in embeddings.query:
        for g in embeddings.gallery:
            same = embeddings.persons[q] == embeddings.persons[g]
            if embeddings.persons[g] == -1 or (same and embeddings.cameras[q] == embeddings.cameras[g]):
                continue
            (right if same else wrong).append(distances[q, g])
    assert found.histogram.counts.sum(1).tolist() == [len(right), len(wrong)]
    brute = np.mean([[(r < w) + (r == w) / 2 for w in wrong] for r in right])
    assert found.nearer == pytest.approx(brute, abs=0.01)


def test_reranked_distances_are_analysed_as_such(embeddings: TestSet):
    config = EvalConfig(rerank=RerankConfig(enabled=True, k1=4, k2=2))
    found = analyse(embeddings, PROTOCOLS["official"], config)
    plain = analyse(embeddings, PROTOCOLS["official"], EvalConfig())
    assert found.histogram.top < plain.histogram.top
    assert found.histogram.counts.sum() == plain.histogram.counts.sum()


scored = st.builds(
    Scored, st.text(min_size=1, max_size=4), st.floats(0, 1), st.floats(0, 1), st.integers(1, 50)
)


@given(st.lists(scored, max_size=30, unique_by=lambda q: q.name), st.integers(1, 10))
def test_best_and_worst_never_overlap(queries: list[Scored], count: int):
    best, worst = best_and_worst(queries, count)
    assert not {q.name for q in best} & {q.name for q in worst}
    assert len(worst) == min(count, -(-len(queries) // 2)) and len(best) == min(count, len(queries) // 2)
    if best:
        assert min(q.average_precision for q in best) >= max(q.average_precision for q in worst)
        assert best[0].average_precision == max(q.average_precision for q in queries)
    if worst:
        assert worst[0].average_precision == min(q.average_precision for q in queries)


def test_groups_are_means_of_their_queries():
    queries = [Scored("a", 1, 0.5, 0.1, 1), Scored("b", 2, 0.1, 0.3, 4), Scored("c", 2, 0.9, 1.0, 1)]
    low, high = by_title(queries, {"a": "x", "b": "x", "c": "y"})
    assert (low.title, low.queries, low.failures, low.rank1) == ("x", 2, 1, 0.5)
    assert low.mean_ap == pytest.approx(0.3) and low.mean_inp == pytest.approx(0.2)
    assert high.title == "y" and high.rank1 == 1


def test_occlusion_is_the_mean_over_all_frames_of_a_tracklet(tmp_path: Path):
    (tmp_path / "occluders.csv").write_text("frame,kind,covered\na,pole,0.4\nb,pole,0.2\nc,bin,0.9\n")
    occluders = read_occluders(tmp_path)
    half = of_tracklet(Tracklet(("a", "b", "x", "y"), 1, 1, "t"), occluders)
    assert half.covered == pytest.approx(0.15) and half.kind == "pole"
    assert of_tracklet(Tracklet(("a", "c"), 1, 1, "t"), occluders).kind == "several"
    free = of_tracklet(Tracklet(("x",), 1, 1, "t"), occluders)
    assert free.covered == 0 and free.kind == ""
    groups = by_cover({"half": half.covered, "free": free.covered})
    assert groups.titles[groups.group["half"]] == "up to 20 % covered"
    assert groups.titles[groups.group["free"]] == "not covered"
    assert read_occluders(tmp_path / "elsewhere") is None


@pytest.mark.parametrize("line", ["a,pole,nan", "a,pole,2", "a,pole", "a,pole,x"])
def test_a_damaged_record_of_occluders_is_named_by_line(tmp_path: Path, line: str):
    (tmp_path / "occluders.csv").write_text(f"frame,kind,covered\nz,pole,0.1\n{line}\n")
    with pytest.raises(KeyReIDError, match=r"occluders\.csv, line 3"):
        read_occluders(tmp_path)


def test_groups_by_heat_are_of_nearly_equal_size(embeddings: TestSet):
    heat = np.random.default_rng(0).random((60, 2), np.float32)
    names = embeddings.names.tolist()
    groups = by_heat(replace(embeddings, visibility=heat, parts=2), names)
    sizes = np.bincount(list(groups.group.values()))
    assert len(groups.titles) == 4 and sizes.min() >= 13 and sizes.sum() == 60
    same = by_heat(replace(embeddings, visibility=np.full((60, 2), 0.5, np.float32), parts=2), names)
    assert len(set(same.group.values())) == 1
    assert by_heat(embeddings, names) is None


values = st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=8)


@settings(max_examples=15, deadline=None)
@given(values)
@example([5e-324])
@example([1e-12, 3e-12])
def test_a_chart_draws_finite_numbers_whatever_the_series(y: list[float]):
    chart = line_chart("<t>", [Series("<n>", list(range(len(y))), y)], "x", "y")
    assert "nan" not in chart.svg and "inf" not in chart.svg
    assert "<t>" not in chart.svg and "<n>" not in chart.svg
    assert "style=" not in chart.svg and "id=" not in chart.svg  # the page's policy, and its one set of ids
    assert chart.rows and all(len(row) == 2 for row in chart.rows)


def test_a_falling_curve_can_be_read_on_a_logarithmic_axis():
    series = [Series("center loss", [0, 1, 2, 3], [400.0, 40.0, 4.0, 0.4])]
    falls = line_chart("t", series, "step", "loss", log=True)
    path = re.search('"line s0" d="([^"]+)"', falls.svg)[1]
    heights = [float(y) for y in re.findall(r"[ML] [\d.]+ ([\d.]+)", path)]
    assert np.ptp(np.diff(heights)) < 0.3  # a tenth is the same way down everywhere
    zero = line_chart("t", [Series("center loss", [0, 1], [1.0, 0.0])], "step", "loss", log=True)
    assert ">0</text>" in zero.svg  # a linear axis


def test_long_series_are_thinned_to_means():
    x, y = thinned(list(range(1000)), [1.0] * 1000, 400)
    assert len(x) <= 400 and set(y) == {1.0}
    assert thinned([1, 2], [3, 4]) == ([1, 2], [3, 4])


def test_config_is_flattened_in_its_order():
    assert flat({"a": {"b": 1, "c": None}, "d": {}}) == [("a.b", "1"), ("a.c", "-"), ("d", "{}")]


maybe = st.none() | st.integers(1, 9)


@given(st.integers(1, 60), st.integers(1, 6), st.integers(1, 4), maybe, maybe)
def test_shown_clips_are_clips_of_the_evaluation(length: int, frames: int, clips: int, stride, cap):
    tracklet = Tracklet(tuple(map(str, range(length))), 1, 1, "t")
    config = ClipConfig(clip_stride=stride, clip_cap=cap)
    shown = [int(frame) for frame in middle_clips(tracklet, frames, clips, config).frames]
    evaluated = consecutive_clips(length, frames, stride, cap).tolist()
    again = [[shown[place] for place in clip] for clip in consecutive_clips(len(shown), frames)]
    first = evaluated.index(again[0])
    assert evaluated[first : first + len(again)] == again and len(again) == min(clips, len(evaluated))
    assert abs(first - (len(evaluated) - first - len(again))) <= 1  # in the middle


@given(st.integers(1, 60), st.integers(1, 6), st.integers(1, 4), maybe)
def test_of_clips_that_span_the_tracklet_the_middle_one_is_shown(length: int, frames: int, clips: int, other):
    tracklet = Tracklet(tuple(map(str, range(length))), 1, 1, "t")
    config = ClipConfig(clip_order="spread", clip_length=other)
    shown = [int(frame) for frame in middle_clips(tracklet, frames, clips, config).frames]
    rows = spread_clips(length, other or frames)
    assert shown == list(dict.fromkeys(rows[(len(rows) - 1) // 2].tolist()))


def test_patches_that_are_not_kept_are_hatched_and_the_others_as_they_were(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((64, 32, 3), 120, np.uint8))
    pictures = Pictures(tmp_path, 64, 95)
    kept = np.zeros((4, 2), bool)
    kept[:2] = True

    def shown(*mask):
        data = base64.b64decode(pictures.heat("grey.png", np.zeros((4, 2)), *mask).split(",")[1])
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE).astype(float)

    plain, some = shown(), shown(kept)
    assert np.abs(some - plain)[:30].max() < 3
    assert some[34:].mean() < 0.6 * plain[34:].mean() and some[34:].std() > 10 > plain.std()
    assert np.abs(shown(np.ones((4, 2), bool)) - plain).max() == 0


def test_attention_of_a_clip_sums_to_one(evaluated):
    model, extra = load_model(evaluated.run / "model.safetensors")
    tracklets = evaluated.dataset.query[:5]
    looks = look(
        model,
        evaluated.dataset.root,
        tracklets,
        evaluated.cache,
        extra["cameras"],
        2,
        ClipConfig(),
        batch_size=3,
    )
    for tracklet, seen in zip(tracklets, looks, strict=True):
        clips = -(-len(seen.frames) // model.config.clip_length)
        assert set(seen.frames) <= set(tracklet.frames)
        assert seen.weights.shape == (len(seen.frames),) and seen.weights.sum() == pytest.approx(clips)
        assert seen.heat.shape == (6, 64, 32) and 0 <= seen.heat.min() <= seen.heat.max() <= 1
        assert seen.attention.shape == (6, *model.grid)
        shares = seen.attention.sum((1, 2))  # of the clip's attention, in the frame that is shown
        assert (shares >= 0).all() and 0 < shares.max() <= 1 + 1e-5
        assert seen.shares.shape == (6, len(seen.frames))
        np.testing.assert_allclose(seen.shares.sum(1), clips, rtol=1e-5)
        single = seen.middle < len(seen.frames) // model.config.clip_length * model.config.clip_length
        if single:  # not a frame that the last clip repeats
            np.testing.assert_allclose(seen.shares[:, seen.middle], shares, rtol=1e-5)
        patches = model.grid[0] * model.grid[1]
        assert seen.kept.shape == model.grid and seen.kept.sum() == round(model.config.keep * patches)
        assert (seen.attention[:, ~seen.kept] == 0).all()
