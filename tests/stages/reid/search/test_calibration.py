"""Calibration: rates as counted by hand, thresholds found again, galleries that cannot tell."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cache.errors import KeyReIDError
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.calibration import Limit, calibrate, nearest, rates_at, save, threshold
from stages.reid.search.config import CalibrationConfig, LinkConfig, SearchConfig
from stages.reid.search.link_calibration import calibrate_link
from tests.stages.reid.own import made_gallery


def measured(gallery: Embeddings, **settings) -> dict:
    """An entry with thresholds of searching and of linking."""
    config = CalibrationConfig(**settings)
    return calibrate(gallery, config) | {"link": [calibrate_link(gallery, LinkConfig(neighbours=3))]}


FLOATS = st.floats(0, 100, width=32)


def test_rates_of_a_hand_case():
    right = np.array([1.0, 2.0, 3.0, np.inf])
    wrong = np.array([2.5, 4.0, 1.5, 5.0])
    (quarter, half) = rates_at(right, wrong, (0.25, 0.5), np.arange(4))
    assert quarter["threshold"] == 2.5 and quarter["measured_false_positive_rate"] == 0.25
    assert quarter["true_positive_rate"] == pytest.approx(2 / 3)  # 1 and 2 are nearer than 2.5
    assert half["threshold"] == 4.0 and half["true_positive_rate"] == 1.0
    assert half["identified"] == pytest.approx(2 / 3)  # the third has a wrong answer in front


@given(st.lists(FLOATS, min_size=1, max_size=30), st.floats(0.001, 0.999))
@settings(max_examples=30, deadline=None)
def test_the_measured_rate_is_never_above_the_one_asked_for(wrong, rate):
    wrong = np.array(wrong, np.float32)
    (row,) = rates_at(wrong, wrong, (rate,), np.arange(len(wrong)))
    assert row["measured_false_positive_rate"] <= rate + 1e-9


def test_nearest_answers_are_counted_as_defined():
    gallery = made_gallery()
    gallery.persons[:2] = (0, -1)  # a distractor and junk
    features, persons = gallery.features.astype(np.float64), gallery.persons
    right, wrong = nearest(gallery, "euclidean")
    assert len(right) == 38
    for i, row in enumerate(np.flatnonzero(persons > 0)):
        distances = ((features - features[row]) ** 2).sum(1)
        same = (persons == persons[row]) & (np.arange(40) % 2 != row % 2)
        assert right[i] == pytest.approx(distances[same].min(), rel=1e-3)
        assert wrong[i] == pytest.approx(
            distances[(persons != persons[row]) & (persons != -1)].min(), rel=1e-3
        )
    _, elsewhere = nearest(gallery, "euclidean", other_cameras=True)
    assert (elsewhere >= wrong).all() and (elsewhere > wrong).any()


def test_a_threshold_is_found_again_by_what_it_belongs_to(tmp_path):
    path, gallery = tmp_path / "calibration.json", made_gallery()
    entry = measured(gallery, distance="euclidean", rates=(0.1, 0.2))
    save(path, measured(gallery, distance="cosine", rates=(0.1,)))
    save(path, entry)
    save(path, entry)  # replaces
    assert len(json.loads(path.read_text())["entries"]) == 2
    wanted = {"distance": "euclidean", "camera": "unknown", "other_cameras": False}
    value, found = threshold(path, 0.2, **wanted, checkpoint_sha256="a" * 64)
    assert value == entry["rates"][1]["threshold"] and found["gallery"] == 40
    with pytest.raises(KeyReIDError, match=r"has the rates 0\.1, 0\.2, not 0\.3"):
        threshold(path, 0.3, **wanted, checkpoint_sha256="a" * 64)
    with pytest.raises(KeyReIDError, match=r"has nothing for .*checkpoint_sha256 bbbb"):
        threshold(path, 0.2, **wanted, checkpoint_sha256="b" * 64)
    path.write_text("{}")
    with pytest.raises(KeyReIDError, match="not a calibration file of this version"):
        threshold(path, 0.2, **wanted)


def test_separable_persons_are_told_from_strangers():
    (row,) = calibrate(made_gallery(), CalibrationConfig(rates=(0.05,)))["rates"]
    assert row["true_positive_rate"] == 1.0 and row["identified"] == 1.0


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_is_a_share(rate):
    with pytest.raises(ValidationError, match="rates"):
        CalibrationConfig(rates=(rate,))


def test_a_gallery_that_cannot_tell_is_refused():
    with pytest.raises(KeyReIDError, match="tracker's ids"):
        calibrate(made_gallery(labelled=False), CalibrationConfig())
    alone = made_gallery()
    alone.persons[:] = 1
    with pytest.raises(KeyReIDError, match="too few"):
        calibrate(alone, CalibrationConfig())


def test_a_rate_below_one_false_positive_is_refused_and_the_default_leaves_it_out():
    with pytest.raises(KeyReIDError, match=r"--fpr 0\.01: 40 searches tell no rate below 0\.025"):
        calibrate(made_gallery(), CalibrationConfig(rates=(0.5, 0.01)))
    found = [row["false_positive_rate"] for row in calibrate(made_gallery(), CalibrationConfig())["rates"]]
    assert found == [0.05, 0.1]
    with pytest.raises(KeyReIDError, match=r"8 searches .* too few to calibrate"):
        calibrate(made_gallery(8), CalibrationConfig())


def test_it_says_on_how_many_persons_it_rests_with_intervals_around_what_was_measured():
    entry = calibrate(made_gallery(), CalibrationConfig(rates=(0.1, 0.5)))
    assert entry["persons"] == 10
    for row in entry["rates"]:
        for name in ("false_positive", "true_positive"):
            low, high = row[f"{name}_interval"]
            value = row["measured_false_positive_rate" if name == "false_positive" else "true_positive_rate"]
            assert 0 <= low <= value <= high <= 1
        assert row["false_positive_interval"][1] > row["false_positive_interval"][0]


def test_a_threshold_of_other_footage_is_named_loudly(tmp_path):
    path, gallery = tmp_path / "calibration.json", made_gallery()
    save(path, measured(gallery, rates=(0.1,)))
    limit, config = Limit(rate=0.1), SearchConfig()
    assert limit.value(gallery, config, 40, path)[1] == []
    other = made_gallery(seed=1, dataset="elsewhere")  # its data root is another, too
    (note,) = limit.value(other, config, 40, path)[1]
    assert note.startswith("WARNING") and "folder, 10 persons" in note and "data set elsewhere" in note
    own = made_gallery()
    own.camera_names[:4] = "yard"
    assert "camera yard" in limit.value(own, config, 40, path)[1][0]
