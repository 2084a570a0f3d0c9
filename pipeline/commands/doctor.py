"""`keyreid doctor`: is the data set complete, can every frame be read, and can it be scored?"""

from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn
from rich.text import Text

from cache.files import prepare_file
from pipeline.options import PROCESSES, Inputs, load_inputs, output_option, recipe_options, renamed
from stages.terminal import progress, say, show, text_table

_FRAMES = {  # kinds of problems of frames: what the row is called, whether it is a fault, what to do
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
_SHOWN = 10  # problems named on the screen; --output names all


class CheckUp:
    """A table of checks. healthy: nothing in it is wrong."""

    def __init__(self, title: str):
        self.table = text_table("check", "found", "expected", "", "what to do", title=title)
        self.healthy = True

    def row(self, check: str, value: str, expected: str, good: bool, advice: str, fault: bool = True) -> None:
        """fault: what is not good is a fault, not merely worth knowing. advice: for what is not."""
        mark = Text("ok", "green") if good else Text("wrong", "red") if fault else Text("note", "yellow")
        self.table.add_row(check, value, expected, mark, "" if good else advice)
        self.healthy &= good or not fault

    def note(self, check: str, value: str) -> None:
        """Something worth knowing."""
        self.row(check, value, "", False, "", fault=False)


@click.command("doctor")
@recipe_options
@click.option("--workers", type=PROCESSES, default=4, show_default=True, help="Reading processes.")
@click.option("--frames/--no-frames", default=True, help="Read every frame (MARS: minutes).")
@output_option("Write all problems there, as JSON lines.")
@renamed("--report", "-o/--output")
def command(inputs: Inputs, workers: int, frames: bool, output: Path | None) -> None:
    """Check layout and counts of a data set, whether it can be scored, and read every frame.

    Where there is a pose cache, frames are compared with those that it was made of. Prints a table that says
    what to do. Exit code 1 when something is wrong.
    """
    from stages.datasets.checkup import counts, known_counts, write_problems

    dataset = load_inputs(inputs, check_files=False)
    if output:
        prepare_file(output)
    check, known = CheckUp(f"{dataset.name} in {dataset.root}"), known_counts(dataset)
    for name, value in counts(dataset).items():
        if name in known or value:
            advice = "the info or split files differ from the official ones; fetch them again"
            expected = f"{known[name]:,}" if name in known else "-"
            check.row(name.replace("_", " "), f"{value:,}", expected, known.get(name, value) == value, advice)
    _scorable(check, dataset)
    problems = _changed(check, dataset, inputs, thorough=frames)
    if frames:
        problems += _read_frames(check, dataset, workers)
    for name, note in dataset.notes.items():
        check.note(name, note)
    show(check.table)
    for problem in problems[:_SHOWN]:
        say(f"{problem.frame}: {problem.kind}: {problem.detail}")
    if len(problems) > _SHOWN:
        more = f"and {len(problems) - _SHOWN:,} more"
        say(more if output else f"{more}; --output FILE writes all of them")
    if output:
        write_problems(output, problems)
    if not check.healthy:
        say("The data set has problems.", style="red")
        raise SystemExit(1)
    say("The data set is complete.", style="green")


def _scorable(check: CheckUp, dataset) -> None:
    """Whether a score can be had, and means anything."""
    from stages.datasets.checkup import shared_persons, without_answer

    lost, queries = without_answer(dataset), len(dataset.query)
    if lost:
        check.row(
            "queries without a right answer",
            f"{lost:,} of {queries:,}",
            "0",
            lost < queries,
            "no query can be scored: the gallery needs each person from another camera",
        )
    if shared := shared_persons(dataset):
        check.row(
            "persons in train and test both",
            f"{shared:,}",
            "0",
            False,
            "scores on persons that were trained on mean nothing: train on others",
        )


def _changed(check: CheckUp, dataset, inputs: Inputs, thorough: bool) -> list:
    """Frames that are not those of the pose cache, where there is one.

    A cache that the user has not named, and of whose pictures none is here, is of another data set.
    """
    from cache import PoseCache
    from cache.errors import KeyReIDError
    from cache.manifest import MANIFEST
    from stages.datasets.checkup import FrameProblem
    from stages.pose.sources import changed_frames

    folder, named = inputs.cache, inputs.given.cache or inputs.recipe.cache
    if not (folder / MANIFEST).is_file():
        return []
    try:
        cache = PoseCache.open(folder)
        names = [name for name in dataset.frames() if name in cache]
        changed = changed_frames(cache, dataset.root, names, thorough)
    except KeyReIDError as error:
        check.row("pose cache", str(error), "", False, "")
        return []
    if names and len(changed) == len(names) and not named:
        check.note(
            "pose cache", f"{folder} is of other pictures of the same names: give --cache, also to train"
        )
        return []
    if names:
        _frames_row(check, "changed", len(changed), len(names))
    return [FrameProblem(name, "changed", f"not the frame that {folder} was made of") for name in changed]


def _read_frames(check: CheckUp, dataset, workers: int) -> list:
    """Every frame, read once."""
    from stages.datasets.checkup import check_frames_all

    problems, names = [], dataset.frames()
    columns = ("reading frames", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress(*columns, transient=True) as bar:
        task = bar.add_task("", total=len(names))
        for count, some in check_frames_all(dataset.root, names, dataset.frame_size, workers):
            problems += some
            bar.advance(task, count)
    for kind in ("missing", "unreadable", "size", "warning"):
        if kind != "size" or dataset.frame_size is not None:
            _frames_row(check, kind, sum(p.kind == kind for p in problems), len(names))
    return problems


def _frames_row(check: CheckUp, kind: str, count: int, total: int) -> None:
    label, fault, advice = _FRAMES[kind]
    check.row(label, f"{count:,} of {total:,}", "0", not count, advice, fault)
