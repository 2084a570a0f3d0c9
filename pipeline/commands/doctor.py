"""`keyreid doctor`: is the data set complete, and can every frame be read?"""

from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn
from rich.text import Text

from pipeline.options import Inputs, load_inputs, output_option, recipe_options, renamed
from stages.terminal import TextTable, progress, say, show, text_table

_ADVICE = {
    "missing": "unpack the archive again; some frames were not copied",
    "unreadable": "copy these frames again from the archive; the files are damaged",
    "size": "frames were resized or belong to another data set; use the original ones",
}
_SHOWN = 10  # problems named on the screen; --output names all


@click.command("doctor")
@recipe_options
@click.option("--workers", type=click.IntRange(1), default=4, show_default=True, help="Reading processes.")
@click.option("--frames/--no-frames", default=True, help="Read every frame (MARS: minutes).")
@output_option("Write all problems there, as JSON lines.")
@renamed("--report", "-o/--output")
def command(inputs: Inputs, workers: int, frames: bool, output: Path | None) -> None:
    """Check the layout and the counts of a data set, and read every frame.

    Prints a table that says what to do. Exit code 1 when something is wrong.
    """
    from stages.datasets.checkup import counts, known_counts, shared_persons, without_answer, write_problems

    dataset = load_inputs(inputs, check_files=False)
    found, known = counts(dataset), known_counts(dataset)
    heads = ("check", "found", "expected", "", "what to do")
    table = text_table(*heads, title=f"{dataset.name} in {dataset.root}")
    healthy = True
    for name, value in found.items():
        if name not in known and not value:
            continue
        good = known.get(name, value) == value
        healthy &= good
        advice = "" if good else "the info or split files differ from the official ones; fetch them again"
        expected = f"{known[name]:,}" if name in known else "-"
        _row(table, name.replace("_", " "), f"{value:,}", expected, good, advice)
    lost, queries = without_answer(dataset), len(dataset.query)
    if lost:
        advice = "no query can be scored: the gallery needs each person from another camera"
        good = lost < queries
        _row(
            table,
            "queries without a right answer",
            f"{lost:,} of {queries:,}",
            "0",
            good,
            "" if good else advice,
        )
        healthy &= good
    if shared := shared_persons(dataset):
        note = f"{shared:,} are in both train and test; scores are meaningless if they are the same people"
        table.add_row("persons", note, "", Text("note", "yellow"), "")
    problems = []
    if frames:
        names = dataset.frames()
        problems = _read_frames(dataset, names, workers)
        for kind, advice in _ADVICE.items():
            if kind == "size" and dataset.frame_size is None:
                continue
            some = sum(p.kind == kind for p in problems)
            label = "frames of wrong size" if kind == "size" else f"{kind} frames"
            _row(table, label, f"{some:,} of {len(names):,}", "0", not some, advice if some else "")
    for name, note in dataset.notes.items():
        table.add_row(name, note, "", Text("note", "yellow"), "")
    show(table)
    for problem in problems[:_SHOWN]:
        say(f"{problem.frame}: {problem.kind}: {problem.detail}")
    if len(problems) > _SHOWN:
        more = f"and {len(problems) - _SHOWN:,} more"
        say(more if output else f"{more}; --output FILE writes all of them")
    if output:
        write_problems(output, problems)
    healthy &= not problems
    if not healthy:
        say("The data set has problems.", style="red")
        raise SystemExit(1)
    say("The data set is complete.", style="green")


def _row(table: TextTable, check: str, found: str, expected: str, good: bool, advice: str) -> None:
    table.add_row(check, found, expected, Text("ok", "green") if good else Text("wrong", "red"), advice)


def _read_frames(dataset, names, workers: int) -> list:
    from stages.datasets.checkup import check_frames_all

    problems = []
    columns = ("reading frames", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress(*columns, transient=True) as bar:
        task = bar.add_task("", total=len(names))
        for count, some in check_frames_all(dataset.root, names, dataset.frame_size, workers):
            problems += some
            bar.advance(task, count)
    return problems
