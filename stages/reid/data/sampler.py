"""P identities x K tracklets: which tracklets make each batch of an epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cache.errors import KeyReIDError
from stages.reid.data.config import SamplerConfig
from stages.reid.data.keyed import sample_keys


@dataclass(frozen=True)
class SamplerCounts:
    """What the log says about how batches are formed."""

    identities: int
    tracklets: int
    short: int  # identities with fewer than K tracklets
    single_camera: int  # identities that only one camera saw
    batches: int  # of every epoch


class IdentitySampler:
    """Batches of P identities x K tracklets, the same in every process, keyed by (seed, epoch).

    An identity's tracklets are shuffled and cut into groups of K. An identity with fewer than K
    repeats some. An epoch has the largest number of batches N in which no identity appears twice
    in a batch: sum(min(groups, N)) >= N * P. So its length is known before it starts and is the
    same for every epoch, and fewer than P surplus groups (drawn at random) wait for another epoch.
    """

    def __init__(
        self, persons: Sequence[int], cameras: Sequence[int | None], config: SamplerConfig, seed: int
    ) -> None:
        """persons, cameras: of each tracklet. Raises KeyReIDError for fewer identities than P."""
        self.config, self.seed = config, seed
        persons = np.asarray(persons)
        self._cameras = np.array([-1 if c is None else c for c in cameras], dtype=np.int64)
        self._members = [np.flatnonzero(persons == person) for person in np.unique(persons)]
        if len(self._members) < config.identities:
            raise KeyReIDError(
                f"train.sampler.identities = {config.identities}: the training set has only "
                f"{len(self._members)} identities; lower it"
            )
        sizes = np.array([len(m) for m in self._members])
        k = config.tracklets
        self._groups = np.maximum(sizes // k if config.leftovers == "drop" else -(-sizes // k), 1)
        self.batches = self._most_batches()
        self.counts = SamplerCounts(
            identities=len(sizes),
            tracklets=len(persons),
            short=int((sizes < k).sum()),
            single_camera=sum(len(set(self._cameras[m])) == 1 for m in self._members),
            batches=self.batches,
        )

    def _most_batches(self) -> int:
        low, high = 1, int(self._groups.sum()) // self.config.identities
        while low < high:
            middle = (low + high + 1) // 2
            enough = np.minimum(self._groups, middle).sum() >= middle * self.config.identities
            low, high = (middle, high) if enough else (low, middle - 1)
        return low

    @property
    def batch_size(self) -> int:
        """Tracklets in a batch, over all processes."""
        return self.config.identities * self.config.tracklets

    def epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Tracklet indices int64 [N, P*K] of every batch of an epoch, and a key int64 for each sample."""
        rng = np.random.Generator(np.random.PCG64([self.seed, epoch]))
        groups = [self._grouped(members, rng) for members in self._members]
        remaining = np.minimum(self._groups, self.batches)
        surplus = int(remaining.sum()) - self.batches * self.config.identities
        if surplus:
            owners = np.repeat(np.arange(len(remaining)), remaining)
            np.subtract.at(remaining, rng.choice(owners, surplus, replace=False), 1)
        order = np.empty((self.batches, self.config.identities, self.config.tracklets), dtype=np.int64)
        for batch in range(self.batches):
            for place, person in enumerate(self._draw_identities(remaining, self.batches - batch, rng)):
                remaining[person] -= 1
                order[batch, place] = groups[person].pop()
        keys = sample_keys(self.seed, epoch, self.batches * self.batch_size)
        return order.reshape(self.batches, -1), keys.reshape(self.batches, -1)

    def _draw_identities(
        self, remaining: np.ndarray, batches_left: int, rng: np.random.Generator
    ) -> np.ndarray:
        """P identities for a batch: those with a group for every batch left, then others at random."""
        due = np.flatnonzero(remaining == batches_left)
        others = np.flatnonzero((remaining > 0) & (remaining < batches_left))
        # Gumbel keys: a draw without replacement, weighted by what is left
        score = np.log(remaining[others]) + rng.gumbel(size=len(others))
        chosen = others[np.argsort(-score, kind="stable")[: self.config.identities - len(due)]]
        return rng.permutation(np.concatenate([due, chosen]))

    def _grouped(self, members: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """An identity's tracklets, shuffled, in groups of K."""
        k = self.config.tracklets
        order = rng.permutation(members)
        if self.config.spread_cameras:
            cameras = self._cameras[order]
            turn = np.empty(len(order), dtype=np.int64)  # the n-th tracklet of its camera
            for camera in np.unique(cameras):
                mine = np.flatnonzero(cameras == camera)
                turn[mine] = np.arange(len(mine))
            order = order[np.lexsort((rng.random(len(order)), turn))]
        missing = -len(order) % k
        if len(order) < k or (missing and self.config.leftovers == "fill"):
            spare = order[: len(order) - len(order) % k] if len(order) >= k else order
            repeats = [rng.permutation(spare) for _ in range(-(-missing // len(spare)))]
            order = np.concatenate([order, *repeats])[: len(order) + missing]
        groups = [order[start : start + k] for start in range(0, len(order) - k + 1, k)]
        return [groups[i] for i in rng.permutation(len(groups))]


class BatchStream:
    """Batches of one process from a position in training to its end, for torch's DataLoader.

    One stream runs over all epochs, so that workers read the next epoch's first batches while the
    last of this one are used. Yields lists of (tracklet, key); process `rank` of `world` gets its
    slice of every batch.
    """

    def __init__(
        self,
        sampler: IdentitySampler,
        epochs: int,
        start: tuple[int, int] = (0, 0),
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """start: (epoch, batch within it). Raises KeyReIDError where a batch does not divide by `world`."""
        if sampler.batch_size % world:
            raise KeyReIDError(
                f"a batch of {sampler.config.identities} x {sampler.config.tracklets} clips does not divide "
                f"among {world} processes; change train.sampler.identities or tracklets, or their number"
            )
        self.sampler, self.epochs, self.start = sampler, epochs, start
        share = sampler.batch_size // world
        self.mine = slice(rank * share, (rank + 1) * share)

    def __len__(self) -> int:
        epoch, batch = self.start
        return (self.epochs - epoch) * self.sampler.batches - batch

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for epoch in range(self.start[0], self.epochs):
            order, keys = self.sampler.epoch(epoch)
            first = self.start[1] if epoch == self.start[0] else 0
            for tracklets, sample_keys_ in zip(
                order[first:, self.mine], keys[first:, self.mine], strict=True
            ):
                yield list(zip(tracklets.tolist(), sample_keys_.tolist(), strict=True))
