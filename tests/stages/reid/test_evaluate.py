"""From embeddings to scores: protocols, distances, first answers, files, several splits."""

import io
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from cache.errors import KeyReIDError
from stages.datasets.tracklet import Dataset, Tracklet
from stages.reid.evaluate import EvalConfig, check_tests, score
from stages.reid.model import ModelConfig
from stages.reid.scoring.distances import distance_rows, smallest
from stages.reid.scoring.embed_set import embed_tracklets
from stages.reid.scoring.embeddings import TestSet
from stages.reid.scoring.metrics import score_ranking
from stages.reid.scoring.named_rows import of_tracklets
from stages.reid.scoring.protocols import PROTOCOLS, protocols_for
from stages.reid.scoring.ranking import rank_protocols
from stages.reid.scoring.tables import over_splits, score_table


def dataset(seed=0, persons=7, cameras=3, per_camera=2, **change):
    """Test tracklets in MARS manner: junk, distractors, queries in the gallery."""
    rng = np.random.default_rng(seed)
    labels = [(p, c) for p in range(1, persons + 1) for c in range(1, cameras + 1) for _ in range(per_camera)]
    labels += [(0, 1)] * 4 + [(-1, 2)] * 3
    rng.shuffle(labels)
    test = tuple(Tracklet((f"{i}.jpg",), int(p), int(c), f"t{i}") for i, (p, c) in enumerate(labels))
    query = tuple({(t.person, t.camera): t for t in test if t.person > 0}.values())
    content = {"name": "walkers", "root": None, "train": (), "query": query, "gallery": test}
    return Dataset(**(content | change))


def embeddings(seed=0, parts=0, split=0, width=24, **change):
    data = dataset(seed, **change)
    rng = np.random.default_rng(seed)
    tracklets = data.test_tracklets()
    centres = rng.normal(size=(20, width))
    features = centres[[t.person for t in tracklets]] + 1.5 * rng.normal(size=(len(tracklets), width))
    visibility = rng.uniform(size=(len(tracklets), parts)).astype(np.float32) if parts else None
    shape = {"visibility": visibility, "parts": parts, "global_width": split if parts else width}
    return packed(data, features, checkpoint={"path": "here"}, **shape)


def packed(data, features, visibility=None, parts=0, global_width=0, **about):
    about = {"dataset": data.name, "split": data.split} | about
    made = of_tracklets(
        data.test_tracklets(), np.asarray(features), data.name, None, visibility=visibility, parts=parts,
        global_width=global_width, about=about,
    )  # fmt: skip
    return TestSet.of(data, made)


# ---- protocols and scores ----


def test_a_protocol_that_leaves_no_right_answer_is_left_out_unless_asked_for(caplog):
    single = embeddings(per_camera=1)
    report = score(single, EvalConfig(bootstrap=0))
    assert list(report["protocols"]) == ["official", "queries-kept"] and report["headline"] == "official"
    assert "queries-dropped is left out" in caplog.text
    with pytest.raises(KeyReIDError, match=r"queries-dropped: none of 21 queries has a right answer"):
        score(single, EvalConfig(bootstrap=0, protocols=("queries-dropped",)))


@pytest.mark.parametrize("protocol", ["official", "queries-kept", "queries-dropped"])
@pytest.mark.parametrize("block", [1, 5, 1000])
def test_block_wise_scores_equal_score_ranking_on_the_whole_matrix(protocol, block):
    data, rule = embeddings(), PROTOCOLS[protocol]
    others = [PROTOCOLS["official"], PROTOCOLS["queries-dropped"]]
    scores, _, size = rank_protocols(data, [*others, rule], EvalConfig(block=block))[-1]
    keep = np.ones(len(data.names), bool)
    if protocol != "official":
        keep &= data.persons != -1
    if protocol == "queries-dropped":
        keep[data.query] = False
    gallery = data.gallery[keep[data.gallery]]
    difference = data.features[data.query][:, None].astype(np.float64) - data.features[gallery][None]
    expected = score_ranking(
        (difference**2).sum(2),
        data.persons[data.query],
        data.persons[gallery],
        data.cameras[data.query],
        data.cameras[gallery],
        average_precision=rule.average_precision,
    )
    assert size == len(gallery)
    assert scores.num_valid == expected.num_valid
    assert scores.mean_ap == pytest.approx(expected.mean_ap, abs=1e-9)
    np.testing.assert_allclose(scores.cmc, expected.cmc, atol=1e-12)


def test_first_answers_leave_out_junk_and_the_same_camera_and_break_ties_by_index():
    data = embeddings()
    data.features[:] = 1  # all tied
    [(_, ranking, _)] = rank_protocols(data, [PROTOCOLS["official"]], EvalConfig(top_k=1000))
    for row, matches in zip(ranking.query, ranking.matches, strict=True):
        person, camera = data.persons[row], data.cameras[row]
        allowed = (data.persons[data.gallery] != -1) & ~(
            (data.persons[data.gallery] == person) & (data.cameras[data.gallery] == camera)
        )
        assert matches[matches >= 0].tolist() == data.gallery[allowed].tolist()
        assert (matches[allowed.sum() :] == -1).all()


def test_default_protocols_follow_from_whether_queries_are_in_the_gallery():
    assert [p.name for p in protocols_for(True)] == ["official", "queries-kept", "queries-dropped"]
    assert [p.name for p in protocols_for(False)] == ["standard"]
    assert [p.name for p in protocols_for(True, dataset="mevid")] == ["queries-kept", "queries-dropped"]
    market = protocols_for(False, dataset="market1501")
    assert [(p.name, p.average_precision) for p in market] == [
        ("official", "trapezoid"),
        ("standard", "rectangular"),
    ]
    with pytest.raises(KeyReIDError, match="queries-dropped"):
        protocols_for(True, ("mars",))


def test_a_query_of_unknown_camera_in_the_gallery_is_an_error():
    tracklets = tuple(Tracklet((f"{i}.jpg",), 1, None, f"t{i}") for i in range(3))
    data = dataset(query=tracklets[:1], gallery=tracklets)
    test = packed(data, np.eye(3))
    with pytest.raises(KeyReIDError, match="t0 is in the gallery"):
        score(test, EvalConfig())
    assert score(test, EvalConfig(protocols=("queries-dropped",)))["protocols"]


def test_no_valid_query_and_no_query_are_errors():
    one_camera = tuple(Tracklet((f"{i}.jpg",), 1, 1, f"t{i}") for i in range(3))
    with pytest.raises(KeyReIDError, match="none of 1 queries"):
        score(packed(dataset(query=one_camera[:1], gallery=one_camera), np.eye(3)), EvalConfig())
    with pytest.raises(KeyReIDError, match="nothing to evaluate"):
        check_tests(dataset(query=()))


# ---- distances ----


def test_distances_are_what_they_say():
    data = embeddings(parts=3, split=6)
    columns = np.arange(len(data.names))
    a, b = data.features[4].astype(np.float64), data.features[9].astype(np.float64)
    rows = np.array([4])
    euclidean = distance_rows(data, columns, "euclidean")(rows)[0, 9]
    assert euclidean == pytest.approx(((a - b) ** 2).sum(), rel=1e-5)
    cosine = 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert distance_rows(data, columns, "cosine")(rows)[0, 9] == pytest.approx(cosine, rel=1e-5)
    seen = data.visibility[4] * data.visibility[9].astype(np.float64)
    parts = ((a - b)[6:].reshape(3, 6) ** 2).sum(1)
    visible = ((a - b)[:6] ** 2).sum() + 3 * (seen * parts).sum() / seen.sum()
    assert distance_rows(data, columns, "visible")(rows)[0, 9] == pytest.approx(visible, rel=1e-4)


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_visible_distance_with_equally_visible_parts_is_euclidean(level):
    data = embeddings(parts=3, split=6)
    data.visibility[:] = level
    rows, columns = data.query, data.gallery
    np.testing.assert_allclose(
        distance_rows(data, columns, "visible")(rows),
        distance_rows(data, columns, "euclidean")(rows),
        rtol=1e-4,
        atol=1e-4,
    )


def test_a_part_hidden_in_one_tracklet_does_not_count():
    data = embeddings(parts=3, split=6)
    data.visibility[:, 1] = 0
    before = distance_rows(data, data.gallery, "visible")(data.query)
    data.features[:, 12:18] += np.random.default_rng(1).normal(size=(len(data.names), 6))
    np.testing.assert_allclose(before, distance_rows(data, data.gallery, "visible")(data.query), rtol=1e-3)


def test_visible_distance_without_parts_is_an_error():
    with pytest.raises(KeyReIDError, match="visibility"):
        score(embeddings(), EvalConfig(distance="visible"))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=400), st.integers(1, 30))
@settings(deadline=None)
def test_smallest_equals_a_stable_sort(values, k):
    row = np.array(values, np.float32)
    assert smallest(row, k).tolist() == np.argsort(row, kind="stable")[:k].tolist()


# ---- embedding ----


class Tiny(torch.nn.Module):
    """A network whose feature of a clip is easy to foresee."""

    config, unit_blocks = ModelConfig(), False

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def embed(self, images, part_maps, cameras):
        camera = torch.full((len(images), 1), 9.0) if cameras is None else cameras[:, None].float()
        return torch.cat([images.mean((1, 3, 4)) * self.weight, camera], dim=1)


def clips(order, seed=0, size=4):
    """Batches over clips of 3 tracklets with 1, 2 and 3 clips, in a given order."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(6, 2, 3, 4, 2, generator=generator)
    maps = torch.rand(6, 2, 5, 4, 2, generator=generator)
    tracklet = torch.tensor([0, 1, 1, 2, 2, 2])
    for first in range(0, 6, size):
        at = list(order)[first : first + size]
        yield {
            "images": images[at],
            "part_maps": maps[at],
            "cameras": tracklet[at] + 1,
            "tracklet": tracklet[at],
        }


@pytest.mark.parametrize("size", [1, 4, 6])
def test_a_tracklets_embedding_is_the_mean_over_its_clips_whatever_the_batches(size):
    features, visibility = embed_tracklets(Tiny(), clips(range(6), size=size), 3)
    whole = next(iter(clips(range(6), size=6)))
    expected = whole["images"].mean((1, 3, 4))[3:].mean(0)
    np.testing.assert_allclose(features[2, :3], expected, atol=1e-6)
    np.testing.assert_allclose(features[:, 3], [1, 2, 3])
    np.testing.assert_allclose(visibility[0], whole["part_maps"][0].amax((2, 3)).mean(0), atol=1e-6)
    again, _ = embed_tracklets(Tiny(), clips([5, 0, 3, 1, 4, 2], size=size), 3)
    np.testing.assert_allclose(features, again, atol=1e-6)


def test_camera_unknown_is_kept_from_the_network():
    features, _ = embed_tracklets(Tiny(), clips(range(6)), 3, camera="unknown")
    assert (features[:, 3] == 9).all()


def test_a_tracklet_without_a_clip_is_an_error():
    with pytest.raises(KeyReIDError, match="1 of 4 tracklets"):
        embed_tracklets(Tiny(), clips(range(6)), 4)


def test_the_network_is_left_in_its_mode():
    model = Tiny().train()
    embed_tracklets(model, clips(range(6)), 3)
    assert model.training


# ---- files ----


def test_scoring_again_from_the_file_gives_the_same(tmp_path):
    config, data = EvalConfig(bootstrap=50), embeddings()
    report = score(data, config, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"metrics.json", "queries.csv", "ranking.json"}
    assert json.loads((tmp_path / "metrics.json").read_text()) == report
    again = score(TestSet.load(data.save(tmp_path / "e.h5")), config)
    assert again == report
    for word in ("walkers", "split -", "protocol official", "checkpoint here", "21 valid of 21"):
        assert word in report["line"]
    ranking = json.loads((tmp_path / "ranking.json").read_text())
    assert [m["name"] for m in ranking[0]["matches"]] and ranking[0]["query"] == data.names[data.query[0]]


# ---- reports ----


def test_intervals_hold_the_score_and_do_not_depend_on_chance_twice():
    data = embeddings()
    first = score(data, EvalConfig(bootstrap=300, seed=3))["protocols"]["queries-dropped"]
    low, high = first["interval95"]["mAP"]
    assert low < first["mAP"] < high
    assert score(data, EvalConfig(bootstrap=300, seed=3))["protocols"]["queries-dropped"] == first


def test_several_splits_give_mean_and_sample_deviation():
    reports = [score(embeddings(seed), EvalConfig()) for seed in range(3)]
    combined = over_splits(reports)["protocols"]["official"]
    values = [r["protocols"]["official"]["mAP"] for r in reports]
    assert combined["mAP"] == pytest.approx(np.mean(values))
    assert combined["deviation"]["mAP"] == pytest.approx(np.std(values, ddof=1))
    with pytest.raises(KeyReIDError, match="distance"):
        over_splits([reports[0], {**reports[1], "distance": "cosine"}])
    few = {**reports[1], "protocols": {"official": reports[1]["protocols"]["official"]}}
    assert list(over_splits([reports[0], few])["protocols"]) == ["official"]


def test_the_table_fits_in_80_columns():
    report = score(embeddings(), EvalConfig(bootstrap=100))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(score_table(report["protocols"]))
    text = console.export_text()
    assert "…" not in text and "queries-dropped" in text and "/" in text


def test_reranking_is_an_option_of_scoring():
    plain, reranked = (
        score(embeddings(), EvalConfig(rerank={"enabled": on, "k1": 4, "k2": 2})) for on in (False, True)
    )
    assert reranked["rerank"]["k1"] == 4 and plain["rerank"] is None
    assert reranked["protocols"]["official"]["mAP"] > plain["protocols"]["official"]["mAP"]


def test_scores_of_before_do_not_stay_when_scoring_fails(tmp_path):
    score(embeddings(), EvalConfig(), tmp_path)
    with pytest.raises(KeyReIDError):
        score(embeddings(), EvalConfig(distance="visible"), tmp_path)
    assert not (tmp_path / "metrics.json").exists()
