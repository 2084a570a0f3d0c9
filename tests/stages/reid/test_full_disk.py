"""Evaluation on a full disk: one line, nothing half-written, and no scores of before."""

import pytest

from cache.errors import KeyReIDError
from stages.reid.evaluate import score
from stages.reid.scoring.compare import write_queries
from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.embeddings_file import write_joined
from stages.report.contents import keep_baselines
from tests.limits import file_size_limit, nobody
from tests.stages.reid.own import made_gallery
from tests.stages.reid.test_evaluate import embeddings

WRITERS = {
    "metrics.json": lambda folder: score(embeddings(), EvalConfig(), folder),
    "queries.csv": lambda folder: write_queries(
        folder / "queries.csv", [("p", "q" * 400, 1, 0.1, 0.2, 1)] * 9
    ),
    "embeddings.h5": lambda folder: embeddings().save(folder / "embeddings.h5"),
    "baselines.json": lambda folder: keep_baselines(folder, {"a": "b" * 3000}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_said_and_keeps_what_was_there(name, tmp_path):
    WRITERS[name](tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.name != "metrics.json"}
    with file_size_limit(900), pytest.raises(KeyReIDError, match="free some space") as caught:
        WRITERS[name](tmp_path)
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("room", [900, 5000, 9000, 12_000])
def test_a_disk_that_is_full_while_parts_are_joined_is_said(room, tmp_path):
    parts = [made_gallery(40, seed=seed).save(tmp_path / f"{seed}.h5") for seed in (1, 2)]
    with (
        file_size_limit(room),
        pytest.raises(KeyReIDError, match=r"cannot write .*all\.h5 .*free some space"),
    ):
        write_joined(parts, tmp_path / "all.h5")
    assert sorted(tmp_path.iterdir()) == parts
    assert len(Embeddings.load(write_joined(parts, tmp_path / "all.h5"))) == 80


def test_scores_for_a_folder_that_cannot_be_written_are_refused_in_words(tmp_path):
    tmp_path.chmod(0o555)
    with nobody(), pytest.raises(KeyReIDError, match="choose a folder that you may write to"):
        score(embeddings(), EvalConfig(), tmp_path / "eval")
