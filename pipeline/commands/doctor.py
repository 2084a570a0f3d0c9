"""`keyreid doctor`: is the data set complete, can every frame be read, and can it be scored?"""

from pathlib import Path

import click
from rich.text import Text

from cache.files import prepare_file
from pipeline.options import PROCESSES, Inputs, load_inputs, output_option, recipe_options, renamed
from pipeline.progress import progress_bar
from stages.terminal import say, show, text_table

_SHOWN = 10  # problems named on the screen; --output names all


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
    from stages import doctor
    from stages.datasets.checkup import write_problems

    dataset = load_inputs(inputs, check_files=False)
    if output:
        prepare_file(output)
    named = bool(inputs.given.cache or inputs.recipe.cache)
    with progress_bar("reading frames", "frames") as progress:
        made = doctor.run(dataset, inputs.cache, named, frames, workers, progress)
    title = f"{dataset.name} in {dataset.root}"
    table = text_table("check", "found", "expected", "", "what to do", title=title)
    for check in made.checks:
        bad = Text("wrong", "red") if check.fault else Text("note", "yellow")
        mark, advice = (Text("ok", "green"), "") if check.good else (bad, check.advice)
        table.add_row(check.name, check.value, check.expected, mark, advice)
    show(table)
    for problem in made.problems[:_SHOWN]:
        say(f"{problem.frame}: {problem.kind}: {problem.detail}")
    if len(made.problems) > _SHOWN:
        more = f"and {len(made.problems) - _SHOWN:,} more"
        say(more if output else f"{more}; --output FILE writes all of them")
    if output:
        write_problems(output, made.problems)
    if not made.healthy:
        say("The data set has problems.", style="red")
        raise SystemExit(1)
    say("The data set is complete.", style="green")
