"""Whether two folders hold the same shards."""

from pathlib import Path

import h5py
import numpy as np
import pytest


def assert_same_shards(folder: Path, expected: Path) -> None:
    """The same shards, byte for byte; says where two of them differ."""
    names = [path.name for path in sorted(expected.glob("shard-*.h5"))]
    assert sorted(path.name for path in folder.glob("shard-*.h5")) == names
    for name in names:
        if (folder / name).read_bytes() != (expected / name).read_bytes():
            pytest.fail(f"{name} differs: {differing_parts(folder / name, expected / name)}")


def differing_parts(one: Path, two: Path) -> dict[str, object]:
    """Name of a data set or attribute -> how many of its values differ, by how much, in which rows."""
    found = {}
    with h5py.File(one) as a, h5py.File(two) as b:
        for name in a:
            x, y = a[name][()], b[name][()]
            if not np.array_equal(x, y):
                far = np.abs(x.astype(float) - y.astype(float)) if x.dtype.kind in "iuf" else x != y
                rows = np.unique(np.nonzero(far)[0])
                found[name] = (
                    f"{np.count_nonzero(far)} of {far.size} values, by up to {far.max()}, "
                    f"in {len(rows)} of {len(x)} rows: {rows[:20].tolist()}"
                )
        found |= {k: (v, b.attrs.get(k)) for k, v in a.attrs.items() if not np.array_equal(v, b.attrs.get(k))}
    return found or {"nothing but the layout": ""}
