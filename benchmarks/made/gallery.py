"""Embeddings of a gallery of any size, made in blocks from seeds, so that it never has to fit in memory."""

from collections.abc import Iterator

import numpy as np
from scipy.linalg.blas import sgemm

from stages.reid.scoring.embeddings import Embeddings

DIRECTIONS = 512  # that embeddings vary in
QUERIES = 256
BLOCK = 4096  # rows made at a time
TOGETHER = 4  # rows of a person


class Made:
    """A gallery of `count` embeddings, and QUERIES queries of its persons that are not in it.

    The variance of direction i is 1/i between persons and half of that within one. Any block is the same
    each time, whatever the count.
    """

    def __init__(self, count: int, width: int, seed: int = 0) -> None:
        self.count, self.width, self.seed = count, width, seed
        rng = np.random.default_rng(seed)
        self.directions = min(DIRECTIONS, width)
        spread = np.sqrt(1 / np.arange(1, self.directions + 1)).astype(np.float32)
        directions = np.linalg.qr(rng.standard_normal((width, self.directions), np.float32))[0].T
        self.basis = np.ascontiguousarray(directions * spread[:, None])
        persons = -(-count // TOGETHER)
        block, place = np.divmod(rng.permutation(persons)[np.arange(QUERIES) % persons], BLOCK // TOGETHER)
        own = np.empty((QUERIES, self.directions), np.float32)
        for number in np.unique(block):
            own[block == number] = self._persons(number)[place[block == number]]
        self._joined = np.empty((QUERIES + BLOCK, width), np.float32)
        self.queries = self._joined[:QUERIES]
        self._fill(own, rng, self.queries)

    def _persons(self, number: int) -> np.ndarray:
        shape = (BLOCK // TOGETHER, self.directions)
        return np.random.default_rng((self.seed, 0, number)).standard_normal(shape, np.float32)

    def _fill(self, own: np.ndarray, rng: np.random.Generator, rows: np.ndarray) -> None:
        values = own + np.float32(np.sqrt(0.5)) * rng.standard_normal(own.shape, np.float32)
        sgemm(1.0, self.basis.T, values.T, c=rows.T, overwrite_c=True)  # column-major: all transposed

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """(first row, queries and rows float32 [QUERIES + b, width]); the memory is used again each time."""
        for number, start in enumerate(range(0, self.count, BLOCK)):
            size = min(BLOCK, self.count - start)
            # The whole block, even where a part of it is wanted: a smaller product may be rounded otherwise.
            own = np.repeat(self._persons(number), TOGETHER, axis=0)
            self._fill(own, np.random.default_rng((self.seed, 1, number)), self._joined[QUERIES:])
            yield start, self._joined[: QUERIES + size]

    def first(self, count: int) -> np.ndarray:
        """The first rows: they are drawn alike, so these are as good a sample as any."""
        rows = np.empty((min(count, self.count), self.width), np.float32)
        for start, joined in self.blocks():
            if start >= len(rows):
                break
            part = rows[start : start + BLOCK]
            part[:] = joined[QUERIES : QUERIES + len(part)]
        return rows


class MadeLike(Made):
    """`Made`, but like the embeddings of a network: persons and what differs within them are theirs.

    A person's mean lies at a random place between those of two of the given persons; a row is that and half
    the deviations of two given rows from their persons' means, times the root of 2, so that they spread as
    much as one does. Where the network makes blocks of length 1, so are these.
    """

    def __init__(self, count: int, like: Embeddings, seed: int = 0) -> None:
        """like: labelled; persons of two rows or more are used."""
        persons, sizes = np.unique(like.persons[like.persons > 0], return_counts=True)
        kept = np.isin(like.persons, persons[sizes > 1])
        _, label = np.unique(like.persons[kept], return_inverse=True)
        rows, sizes = like.features[kept], np.bincount(label)
        self.means = np.zeros((len(sizes), rows.shape[1]), np.float32)
        np.add.at(self.means, label, rows)
        self.means /= sizes[:, None].astype(np.float32)
        # n rows lie nearer to their own mean than to the person's
        self.deviations = (rows - self.means[label]) * np.sqrt(sizes / (sizes - 1))[label, None].astype("f4")
        self.block = like.global_width if like.normalised else 0
        self.count, self.width, self.seed = count, rows.shape[1], seed
        rng = np.random.default_rng(seed)
        people = -(-count // TOGETHER)
        block, place = np.divmod(rng.permutation(people)[np.arange(QUERIES) % people], BLOCK // TOGETHER)
        own = np.concatenate([self._persons(n)[[p]] for n, p in zip(block, place, strict=True)])
        self._joined = np.empty((QUERIES + BLOCK, self.width), np.float32)
        self.queries = self._joined[:QUERIES]
        self._fill(own, rng, self.queries)

    def _persons(self, number: int) -> np.ndarray:
        rng = np.random.default_rng((self.seed, 0, number))
        one, other = rng.integers(len(self.means), size=(2, BLOCK // TOGETHER))
        share = rng.random((BLOCK // TOGETHER, 1), np.float32)
        return share * self.means[one] + (1 - share) * self.means[other]

    def _fill(self, own: np.ndarray, rng: np.random.Generator, rows: np.ndarray) -> None:
        one, other = rng.integers(len(self.deviations), size=(2, len(own)))
        rows[:] = own + np.float32(np.sqrt(0.5)) * (self.deviations[one] + self.deviations[other])
        if self.block:
            blocks = rows.reshape(len(rows), -1, self.block)
            blocks /= np.linalg.norm(blocks, axis=2, keepdims=True)
