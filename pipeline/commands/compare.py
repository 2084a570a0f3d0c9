"""`keyreid compare A B`: do two runs differ by more than chance?"""

import json
from pathlib import Path

import click
from rich import box

from pipeline.options import PATH
from stages.terminal import say, show, text_table


@click.command("compare")
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
@click.option("--resamples", type=click.IntRange(100, 1_000_000), default=10_000, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(a: Path, b: Path, resamples: int, seed: int, as_json: bool) -> None:
    """Compare the per-query scores of two evaluations, query by query.

    A and B are queries.csv files or the folders that hold them. For each score: the difference B - A, its
    95 % bootstrap interval, and the p-value of a paired permutation test of "no difference". Both draw
    persons, not queries: queries of one person are not independent.
    """
    from stages.reid.scoring.compare import compare_queries, read_queries

    compared = compare_queries(read_queries(a), read_queries(b), resamples, seed)
    if as_json:
        say(json.dumps(compared, indent=1))
        return
    table = text_table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    for name in ("protocol", "score", "A", "B", "B - A", "95 % interval", "p", "n"):
        table.add_column(name, justify="left" if name in ("protocol", "score") else "right", no_wrap=True)
    for protocol, scored in compared.items():
        for score, row in scored["scores"].items():
            interval = " ".join(f"{100 * v:+.2f}" for v in row["interval95"] or ())
            table.add_row(
                protocol,
                score,
                f"{100 * row['a']:.2f}",
                f"{100 * row['b']:.2f}",
                f"{100 * row['difference']:+.2f}",
                interval or "-",
                f"{row['p']:.4f}",
                f"{scored['queries']:,}",
            )
    show(table)
    for protocol, scored in compared.items():
        say(f"{protocol}: {scored['queries']:,} queries of {scored['persons']:,} persons")
        only = [f"{scored[k]:,} valid only in {k[-1].upper()}" for k in ("only_a", "only_b") if scored[k]]
        if only:
            say(f"{protocol}: left out: {', '.join(only)}")
