"""Fuzzed files of stage one: records or none, a network's description or one line."""

import json

import numpy as np
import pytest
from hypothesis import strategies as st

from cache.errors import KeyReIDError
from stages.pose.config import load_spec
from stages.pose.sources import RECORD, Sources, load_records
from tests.fuzzing import EXAMPLES, JSON, damaged, fuzz


@pytest.mark.parametrize("examples", EXAMPLES)
def test_damaged_records_of_frames_are_records_or_none(tmp_path, examples):
    path = tmp_path / "sources.npy"
    Sources(np.ones(5, RECORD), {}).save(path)
    assert np.load(path, allow_pickle=False).shape == (5,)  # numpy reads it too

    def check(content: bytes) -> None:
        path.write_bytes(content)
        records = load_records(path, 5)
        assert records is None or (records.shape == (5,) and records.dtype == RECORD)

    fuzz(examples, damaged(path.read_bytes()), check)


KEYS = st.sampled_from(["mmpose_config", "model", "padding", "weights", "more", "name", "folder"])


@pytest.mark.parametrize("examples", EXAMPLES)
def test_estimator_files_of_any_content_are_read_or_refused_in_a_line(tmp_path, examples):
    path = tmp_path / "e.yaml"

    def check(content) -> None:
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        load_spec.cache_clear()
        try:
            load_spec(str(path))
        except KeyReIDError as error:
            assert "\n" not in str(error) and "e.yaml" in str(error)

    written = b"model: {type: X}\nweights: {file: a.pth, sha256: '12'}\npadding: 1.5\n"
    fuzz(examples, st.one_of(JSON, st.dictionaries(KEYS, JSON), damaged(written)), check)
    load_spec.cache_clear()
