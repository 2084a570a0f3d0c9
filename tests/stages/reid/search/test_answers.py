"""Answers of a search as records and as a picture."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.reid.scoring.ranking import Ranking
from stages.reid.search.answers import draw, free_name, records
from tests.stages.reid.own import made_gallery


def ranking(matches, distances, query=(0,)) -> Ranking:
    return Ranking(np.array(query), np.array(matches), np.array(distances, np.float32))


def test_a_record_names_query_and_answers_in_order_and_stops_where_there_are_no_more():
    gallery = made_gallery(8)
    (record,) = records(gallery, ranking([[1, 5, -1]], [[0.5, 2.0, np.inf]]), None)
    assert record["query"] == gallery.names[0] and record["camera"] == "1" and "somebody" not in record
    answers = record["answers"]
    assert [a["rank"] for a in answers] == [1, 2]
    assert [a["tracklet"] for a in answers] == [gallery.names[1], gallery.names[5]]
    assert [a["distance"] for a in answers] == [0.5, 2.0]
    assert [a["right"] for a in answers] == [True, False] and "match" not in answers[0]


def test_with_a_limit_answers_beyond_it_are_no_match():
    gallery = made_gallery(8)
    near, far = records(gallery, ranking([[1, 5], [5, 6]], [[0.5, 2.0], [1.0, 3.0]], (0, 2)), 1.0)
    assert near["somebody"] and [a["match"] for a in near["answers"]] == [True, False]
    assert not far["somebody"] and not any(a["match"] for a in far["answers"])


def test_without_labels_nothing_is_said_about_right_or_wrong():
    gallery = made_gallery(8, labelled=False)
    (record,) = records(gallery, ranking([[1]], [[0.5]]), None)
    assert "right" not in record["answers"][0]


def test_the_picture_shows_queries_with_their_answers_and_names_a_missing_frame(tmp_path):
    gallery = replace(made_gallery(40), root=tmp_path)
    found = ranking([[1, 5]] * 5, [[0.5, 2.0]] * 5, tuple(range(5)))
    with pytest.raises(KeyReIDError, match=r"2\.jpg"):
        draw(tmp_path / "x.png", gallery, found, None, 3)
    for frames in gallery.frames:
        (tmp_path / frames[1]).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(tmp_path / frames[1]), np.full((64, 32, 3), 90, np.uint8))
    path = draw(tmp_path / "x.png", gallery, found, 1.5, 3)
    fewer = draw(tmp_path / "fewer.png", gallery, found, 1.5, 1)
    assert cv2.imread(str(path)).shape[0] > 2 * cv2.imread(str(fewer)).shape[0] > 300


def test_a_picture_that_is_there_is_not_overwritten(tmp_path):
    path = tmp_path / "x.png"
    assert free_name(path) == path
    path.touch()
    assert free_name(path) == tmp_path / "x-2.png"
    (tmp_path / "x-2.png").touch()
    assert free_name(path) == tmp_path / "x-3.png"
