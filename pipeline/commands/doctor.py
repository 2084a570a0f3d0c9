"""`keyreid doctor`: is the data set complete, and can every frame be read?"""

from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from pipeline.options import Inputs, load_inputs, output_option, recipe_options, renamed

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
    table = Table("check", "found", "expected", "", "what to do", title=f"{dataset.name} in {dataset.root}")
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
        note = f"{shared:,} are in train and test both; scores mean nothing if they are the same people"
        table.add_row("persons", note, "", "[yellow]note[/]", "")
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
        table.add_row(name, note, "", "[yellow]note[/]", "")
    console = Console()
    console.print(table)
    for problem in problems[:_SHOWN]:
        console.print(f"{problem.frame}: {problem.kind}: {problem.detail}", markup=False, highlight=False)
    if len(problems) > _SHOWN:
        more = f"and {len(problems) - _SHOWN:,} more"
        console.print(more if output else f"{more}; --output FILE writes all of them")
    if output:
        write_problems(output, problems)
    healthy &= not problems
    console.print("[green]The data set is complete.[/]" if healthy else "[red]The data set has problems.[/]")
    if not healthy:
        raise SystemExit(1)


def _row(table: Table, check: str, found: str, expected: str, good: bool, advice: str) -> None:
    table.add_row(check, found, expected, "[green]ok[/]" if good else "[red]wrong[/]", advice)


def _read_frames(dataset, names, workers: int) -> list:
    from stages.datasets.checkup import check_frames_all

    problems = []
    columns = (TextColumn("reading frames"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("", total=len(names))
        for count, some in check_frames_all(dataset.root, names, dataset.frame_size, workers):
            problems += some
            progress.advance(task, count)
    return problems
