"""Whatever the files hold, a parser ends in a Dataset or in the project's own error."""

import contextlib
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from cache.errors import KeyReIDError
from stages.datasets import load_dataset
from tests.stages.datasets.layouts import write_mars, write_two_cameras

SETTINGS = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
KEYS = {
    "tracks_train_info.mat": "track_train_info",
    "tracks_test_info.mat": "track_test_info",
    "query_IDX.mat": "query_IDX",
}


def read(name, root):
    with contextlib.suppress(KeyReIDError):
        data = load_dataset(name, root)
        for tracklet in data.tracklets():
            assert tracklet.frames
            for frame in tracklet.frames:
                assert (root / frame).resolve().is_relative_to(root.resolve())


@pytest.fixture(scope="module")
def mars(tmp_path_factory):
    return write_mars(tmp_path_factory.mktemp("fuzz") / "d")


@contextlib.contextmanager
def replaced(path, data):
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(before)


@given(st.data())
@SETTINGS
def test_mars_files_with_bytes_changed_cut_or_replaced(mars, data):
    path = mars / "info" / data.draw(st.sampled_from([*KEYS, "train_name.txt", "test_name.txt"]))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(content))))
    noise = data.draw(st.one_of(st.none(), st.binary(max_size=200)))
    with replaced(path, noise if noise is not None else bytes(content[:cut])):
        read("mars", mars)


@given(
    st.sampled_from(list(KEYS)),
    st.lists(st.lists(st.integers(-3, 16), min_size=4, max_size=4), min_size=1, max_size=8),
    st.sampled_from([np.int8, np.uint16, np.int32, np.float64, np.float32, np.complex64]),
    st.integers(0, 4),
)
@SETTINGS
def test_mars_matrices_of_any_content_shape_and_type(mars, file, rows, dtype, columns):
    path = mars / "info" / file
    before = path.read_bytes()
    try:
        savemat(path, {KEYS[file]: np.array(rows).astype(dtype)[:, :columns]})
        read("mars", mars)
    finally:
        path.write_bytes(before)


NAMES = ["../x.jpg", "/x.jpg", "0001C1T0001F001.jpg", "0001C1T0009F001.JPG", "\x00", "é"]


@given(st.lists(st.sampled_from(NAMES)))
@SETTINGS
def test_mars_lists_of_names(mars, names):
    with replaced(mars / "info" / "train_name.txt", "\r\n".join(names).encode()):
        read("mars", mars)


FIELD = st.one_of(
    st.sampled_from(["a.jpg", "b.PNG", "../a.jpg", "/a.jpg", "1", "-1", "0", "x", "train", "test", "query"]),
    st.text(max_size=8),
)


@given(st.one_of(st.binary(max_size=300), st.lists(st.lists(FIELD, min_size=5, max_size=5), max_size=6)))
@SETTINGS
def test_lists_of_frames(tmp_path, content):
    if isinstance(content, list):
        rows = "\n".join(",".join(row) for row in content)
        content = f"frame,person,camera,tracklet,subset\n{rows}\n".encode(errors="surrogatepass")
    (tmp_path / "frames.csv").write_bytes(content)
    for name in ("a.jpg", "b.PNG"):
        (tmp_path / name).touch()
    read("folder", tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["train", "person001", "person002", "../x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["train", "test", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.one_of(JSON, st.binary(max_size=100)))
@SETTINGS
def test_lists_of_splits(tmp_path, content):
    import json

    root = tmp_path / "d"
    if not root.exists():
        write_two_cameras(root / "sequences", ["person001", "person002"])
        write_two_cameras(root / "multi_shot", ["person001", "person002"], ("cam_a", "cam_b"))
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (root / "splits.json").write_bytes(data)
    read("ilids-vid", root)
    read("prid2011", root)


@given(st.lists(st.text("abc019-._ é", min_size=1, max_size=5), min_size=1, max_size=6))
@SETTINGS
def test_trees_of_any_names(tmp_path, names):
    root = tmp_path / "tree"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    folder = root
    for name in names:
        if name in (".", ".."):
            continue
        folder = folder / name
        folder.mkdir()
        (folder / "f.jpg").touch()
    read("folder", root)
