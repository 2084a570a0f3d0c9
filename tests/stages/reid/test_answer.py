"""The search stage: a query of any kind, galleries, a threshold, a picture."""

import shutil

import pytest

from cache.errors import KeyReIDError
from stages.reid import Embedder
from stages.reid.answer import run
from stages.reid.search.config import SearchConfig


@pytest.fixture(scope="module")
def gallery(setting, tmp_path_factory):
    """A gallery file of the three tracklets."""
    folder, dataset, poses = setting
    made = Embedder(folder).gallery(dataset, dataset.tracklets(), poses)
    return made.save(tmp_path_factory.mktemp("gallery") / "gallery.h5")


def test_a_tracklet_of_the_gallery_is_not_its_own_answer(gallery, setting, tmp_path):
    _, dataset, _ = setting
    names = [t.name for t in dataset.tracklets()]
    found = run(SearchConfig(top=5), [gallery], names[0], picture=tmp_path / "new" / "x.png")
    (record,) = found.records
    assert record["query"] == names[0]
    assert sorted(a["tracklet"] for a in record["answers"]) == sorted(names[1:])
    assert found.picture == tmp_path / "new" / "x.png" and found.picture.stat().st_size > 1000
    assert found.limit is None


def test_pictures_of_a_person_find_the_tracklet_and_a_threshold_rejects_the_rest(gallery, setting, tmp_path):
    _, dataset, _ = setting
    wanted = dataset.tracklets()[1]
    for frame in wanted.frames:  # elsewhere, so that they are not the tracklet itself
        shutil.copy(dataset.root / frame, tmp_path)
    found = run(SearchConfig(top=3), [gallery], str(tmp_path), threshold="1e-6")
    answers = found.records[0]["answers"]
    assert answers[0]["tracklet"] == wanted.name and answers[0]["match"]
    assert found.limit == 1e-6 and not any(a["match"] for a in answers[1:])


def test_a_file_of_embeddings_asks_for_each_of_its_rows(gallery):
    assert len(run(SearchConfig(top=1), [gallery], str(gallery)).records) == 3


@pytest.mark.parametrize(
    ("query", "message"),
    [("nobody", "no tracklet of the gallery has that name"), ("empty", "no picture in that folder")],
)
def test_a_query_that_cannot_be_read_is_named(gallery, tmp_path, monkeypatch, query, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(KeyReIDError, match=message):
        run(SearchConfig(), [gallery], query)


def test_a_page_that_cannot_be_written_is_said_before_the_query_is_read(gallery, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(KeyReIDError, match="file of that name"):
        run(SearchConfig(), [gallery], "nobody", page=tmp_path / "file" / "page")
