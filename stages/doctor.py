"""Doctor: is a data set complete, can every frame be read, and can it be scored?"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.manifest import MANIFEST
from stages.datasets.checkup import (
    FrameProblem,
    check_frames_all,
    counts,
    known_counts,
    shared_persons,
    without_answer,
)
from stages.datasets.tracklet import Dataset
from stages.pose.sources import changed_frames

_FRAMES = {  # kinds of problems of frames: what the check is called, whether it is a fault, what to do
    "missing": ("missing frames", True, "unpack the archive again; some frames were not copied"),
    "unreadable": (
        "unreadable frames", True, "copy these frames again from the archive; the files are damaged",
    ),
    "size": (
        "frames of wrong size", True, "frames were resized or are of another data set; use the original ones",
    ),
    "warning": (
        "frames with a decoder's warning", False, "look at them; a damaged JPEG may show another picture",
    ),
    "changed": (
        "frames other than the pose cache's", True,
        "poses are of other pictures: use the frames of then, or extract-poses --force",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Check:
    """A value beside the expected one. fault: if not good, it is wrong and not merely worth knowing."""

    name: str
    value: str
    expected: str = ""
    good: bool = False
    advice: str = ""
    fault: bool = True


@dataclass
class CheckUp:
    """checks: in order. problems: of single frames."""

    checks: list[Check] = field(default_factory=list)
    problems: list[FrameProblem] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return all(check.good or not check.fault for check in self.checks)

    def frames(self, kind: str, count: int, total: int) -> None:
        """Add the check of a kind of problem that `count` of `total` frames have."""
        name, fault, advice = _FRAMES[kind]
        self.checks.append(Check(name, f"{count:,} of {total:,}", "0", not count, advice, fault))


def run(
    dataset: Dataset,
    cache: Path,
    named: bool = False,
    frames: bool = True,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CheckUp:
    """Check a data set. cache: folder of its poses, if there are any; named: the user has named it.

    frames: read every frame, in `workers` processes. progress: called with frames read and in all.
    """
    made, known = CheckUp(), known_counts(dataset)
    for name, value in counts(dataset).items():
        if name in known or value:
            expected = f"{known[name]:,}" if name in known else "-"
            advice = "the info or split files differ from the official ones; fetch them again"
            good = known.get(name, value) == value
            made.checks.append(Check(name.replace("_", " "), f"{value:,}", expected, good, advice))
    _scorable(made, dataset)
    if (cache / MANIFEST).is_file():
        _changed(made, dataset, cache, named, thorough=frames)
    if frames:
        names, done, problems = dataset.frames(), 0, []
        for count, some in check_frames_all(dataset.root, names, dataset.frame_size, workers):
            problems += some
            done += count
            progress(done, len(names))
        for kind in ("missing", "unreadable", "size", "warning"):
            if kind != "size" or dataset.frame_size is not None:
                made.frames(kind, sum(p.kind == kind for p in problems), len(names))
        made.problems += problems
    made.checks += [Check(name, note, fault=False) for name, note in dataset.notes.items()]
    return made


def _scorable(made: CheckUp, dataset: Dataset) -> None:
    """Whether there can be a score, and whether it means anything."""
    if lost := without_answer(dataset):
        advice = "no query can be scored: the gallery needs each person from another camera"
        value, some = f"{lost:,} of {len(dataset.query):,}", lost < len(dataset.query)
        made.checks.append(Check("queries without a right answer", value, "0", some, advice))
    if shared := shared_persons(dataset):
        advice = "scores on persons that were trained on mean nothing: train on others"
        made.checks.append(Check("persons in train and test both", f"{shared:,}", "0", False, advice))


def _changed(made: CheckUp, dataset: Dataset, folder: Path, named: bool, thorough: bool) -> None:
    """Which frames are not those of the pose cache.

    A cache that the user has not named, and of whose pictures none is here, is of another data set.
    """
    try:
        cache = PoseCache.open(folder)
        names = [name for name in dataset.frames() if name in cache]
        changed = changed_frames(cache, dataset.root, names, thorough)
    except KeyReIDError as error:
        made.checks.append(Check("pose cache", str(error)))
        return
    if names and len(changed) == len(names) and not named:
        note = f"{folder} is of other pictures of the same names: give --cache, also to train"
        made.checks.append(Check("pose cache", note, fault=False))
        return
    if names:
        made.frames("changed", len(changed), len(names))
    detail = f"not the frame that {folder} was made of"
    made.problems += [FrameProblem(name, "changed", detail) for name in changed]
