"""The MATLAB reader gives what scipy gives, and survives what scipy does not."""

import random
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from cache.errors import KeyReIDError
from stages.datasets.matlab import read_numbers

TYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 4), (2, 3, 4), (0, 3)])
def test_reads_what_scipy_writes(tmp_path, dtype, compressed, shape):
    values = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    content = {"other": "text", "cells": np.array([[1, "a"]], object), "x": values, "z": 1j * np.ones(3)}
    savemat(tmp_path / "a.mat", content, do_compression=compressed)
    found = read_numbers(tmp_path / "a.mat", "x")
    assert found.dtype == values.dtype and found.shape == shape
    np.testing.assert_array_equal(found, values)
    for name in ("other", "cells", "z", "missing"):
        with pytest.raises(KeyReIDError, match="no matrix of numbers"):
            read_numbers(tmp_path / "a.mat", name)


def test_reads_the_official_files_as_scipy_does(real_data):
    for place, key in (
        ("mars/info/tracks_train_info.mat", "track_train_info"),
        ("mars/info/tracks_test_info.mat", "track_test_info"),
        ("mars/info/query_IDX.mat", "query_IDX"),
        ("ilids-vid/train_test_splits_ilidsvid.mat", "ls_set"),
    ):
        np.testing.assert_array_equal(read_numbers(real_data / place, key), loadmat(real_data / place)[key])


def test_big_endian_files_are_read(tmp_path):
    """Written by hand: header, one matrix [1, 2] of int16."""

    def element(kind, content):
        return np.array([kind, len(content)], ">u4").tobytes() + content + bytes(-len(content) % 8)

    matrix = (
        element(6, np.array([10, 0], ">u4").tobytes())
        + element(5, np.array([1, 2], ">i4").tobytes())
        + element(1, b"x")
        + element(3, np.array([7, -300], ">i2").tobytes())
    )
    (tmp_path / "a.mat").write_bytes(bytes(124) + b"\x01\x00MI" + element(14, matrix))
    assert read_numbers(tmp_path / "a.mat", "x").tolist() == [[7, -300]]


def test_millions_of_dimensions_are_refused_at_once(tmp_path):
    def element(kind, content):
        return np.array([kind, len(content)], "<u4").tobytes() + content + bytes(-len(content) % 8)

    matrix = (
        element(6, np.array([10, 0], "<u4").tobytes())
        + element(5, np.full(4_000_000, 2**31 - 1, "<i4").tobytes())
        + element(1, b"x")
        + element(3, b"")
    )
    packed = element(15, zlib.compress(element(14, matrix)))
    assert len(packed) < 20_000
    (tmp_path / "a.mat").write_bytes(bytes(124) + b"\x00\x01IM" + packed)
    started = time.process_time()
    with pytest.raises(KeyReIDError, match=r"a\.mat"):
        read_numbers(tmp_path / "a.mat", "x")
    assert time.process_time() - started < 1


@pytest.mark.parametrize("compressed", [False, True])
def test_any_damage_ends_in_the_projects_own_error(tmp_path, compressed):
    """Damaged type tags are among these; they crash scipy's reader."""
    path = tmp_path / "a.mat"
    savemat(path, {"x": np.arange(12, dtype=np.int32).reshape(3, 4)}, do_compression=compressed)
    whole = path.read_bytes()
    generator = random.Random(0)
    refused = 0
    for number in range(800):
        content = bytearray(whole[: generator.randrange(1, len(whole))] if number % 5 == 0 else whole)
        for _ in range(generator.randint(1, 4)):
            content[generator.randrange(len(content))] = generator.randrange(256)
        path.write_bytes(content)
        try:
            assert read_numbers(path, "x").size
        except KeyReIDError as error:
            refused += 1
            assert "a.mat" in str(error)
    assert refused > 150


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_end_in_the_projects_own_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "a.mat"
    for data in (content, bytes(126) + b"IM" + content):
        path.write_bytes(data)
        with pytest.raises(KeyReIDError, match=r"a\.mat"):
            read_numbers(path, "x")
