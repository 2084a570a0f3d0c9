"""Who is filmed where: every tracklet of a data set, before a single pixel is drawn."""

from dataclasses import dataclass, replace

import numpy as np

from stages.datasets.tracklet import DISTRACTOR, JUNK
from stages.datasets.walkers import disturbances
from stages.datasets.walkers.config import WalkersConfig
from stages.datasets.walkers.disturbances import Disturbance
from stages.datasets.walkers.wardrobe import Identity, draw_group


@dataclass(frozen=True)
class TrackletPlan:
    """One tracklet to be filmed."""

    person: int
    camera: int  # from 1
    number: int  # from 1, within person and camera
    frames: int
    identity: Identity
    reverse: bool  # walks the camera's path the other way
    occluded: bool
    train: bool
    seed: tuple[int, ...]
    disturbance: Disturbance | None = None  # None: none

    @property
    def name(self) -> str:
        """MARS's name of the tracklet, such as 0001C1T0001 or 00-1C1T0001."""
        return f"{self.folder}C{self.camera}T{self.number:04d}"

    @property
    def folder(self) -> str:
        """The person as MARS writes it: four digits, or 00-1 for junk."""
        return "00-1" if self.person == JUNK else f"{self.person:04d}"

    def frame_paths(self) -> list[str]:
        """Paths of the frames relative to the data root, in time order."""
        folder = f"{'bbox_train' if self.train else 'bbox_test'}/{self.folder}"
        return [f"{folder}/{self.name}F{frame:03d}.jpg" for frame in range(1, self.frames + 1)]


@dataclass(frozen=True)
class Plan:
    """All tracklets in MARS order (junk, distractors, then persons by number), and the look-alike pairs."""

    train: tuple[TrackletPlan, ...]
    test: tuple[TrackletPlan, ...]
    query: tuple[int, ...]  # indices into test, from 0; one per person and camera
    pairs: tuple[tuple[int, int, str], ...]  # person, person, the part in which they differ

    def tracklets(self) -> tuple[TrackletPlan, ...]:
        return (*self.train, *self.test)


def make_plan(config: WalkersConfig) -> Plan:
    """Deal persons, cameras, lengths, directions and occlusion from the seed."""
    rng = np.random.default_rng([config.seed, 1])
    half = config.identities // 2
    people: dict[int, Identity] = {}
    pairs: list[tuple[int, int, str]] = []
    for offset in (1, 2):  # odd numbers train, even numbers test
        group, twins = draw_group(np.random.default_rng([config.seed, 2, offset]), half, config.lookalikes)
        people |= {offset + 2 * i: identity for i, identity in enumerate(group)}
        pairs += [(offset + 2 * a, offset + 2 * b, part) for a, b, part in twins]
    strangers, _ = draw_group(
        np.random.default_rng([config.seed, 2, 3]), max(1, config.distractors + config.junk), 0.0
    )

    def deal(slots: list[tuple[int, int, int, Identity]], share: float, train: bool) -> list[TrackletPlan]:
        lengths = rng.integers(config.min_frames, config.max_frames + 1, len(slots)).tolist()
        # tracklets in random order until `share` of the frames is reached as nearly as whole ones allow
        goal, total, occluded = share * sum(lengths), 0, set()
        for index in rng.permutation(len(lengths)):
            if abs(total + lengths[index] - goal) < abs(total - goal):
                total += lengths[index]
                occluded.add(int(index))
        return [
            TrackletPlan(
                person, camera, number, length, who, (number + person) % 2 == 0, i in occluded, train,
                (config.seed, 17, person + 2, camera, number),
            )
            for i, ((person, camera, number, who), length) in enumerate(zip(slots, lengths, strict=True))
        ]  # fmt: skip

    def lone(person: int, group: list[Identity]) -> list[tuple[int, int, int, Identity]]:
        cameras = [i % config.cameras + 1 for i in range(len(group))]
        numbers = [i // config.cameras + 1 for i in range(len(group))]
        return sorted(
            ((person, c, n, who) for c, n, who in zip(cameras, numbers, group, strict=True)),
            key=lambda s: s[1:3],
        )

    def filmed(offset: int) -> list[tuple[int, int, int, Identity]]:
        return [
            (person, camera, number, people[person])
            for person in sorted(people) if person % 2 == offset % 2
            for camera in range(1, config.cameras + 1)
            for number in range(1, config.tracklets + 1)
        ]  # fmt: skip

    train = deal(filmed(1), config.train_occlusion, True)
    junk = deal(lone(JUNK, strangers[: config.junk]), 0.0, False)
    others = deal(
        lone(DISTRACTOR, strangers[config.junk : config.junk + config.distractors]),
        config.test_occlusion,
        False,
    )
    persons = deal(filmed(2), config.test_occlusion, False)
    first = len(junk) + len(others)
    query = [
        first + start + int(rng.integers(config.tracklets))
        for start in range(0, len(persons), config.tracklets)
    ]
    test = [*others, *persons]
    if config.look == "hard":
        train, test = (_disturb(config.seed, split, group) for split, group in enumerate((train, test)))
    return Plan(tuple(train), (*junk, *test), tuple(query), tuple(pairs))


def _disturb(seed: int, split: int, tracklets: list[TrackletPlan]) -> list[TrackletPlan]:
    """The tracklets with what goes wrong in them; whoever comes into the picture is of the same split."""
    people = list({id(t.identity): t.identity for t in tracklets}.values())
    own = {id(who): number for number, who in enumerate(people)}
    dealt = disturbances.deal(
        np.random.default_rng([seed, 41, split]),
        [t.frames for t in tracklets],
        [own[id(t.identity)] for t in tracklets],
        people,
    )
    return [replace(t, disturbance=d) for t, d in zip(tracklets, dealt, strict=True)]
