"""`keyreid ablation`: what each part of the network contributes, on walkers."""

import os
from pathlib import Path

import click

from pipeline.options import PATH, PROCESSES, device_option, output_option, renamed
from stages.terminal import say


@click.command("ablation")
@click.option("--config", type=PATH, help="Variants. Default: configs/ablation.yaml.")
@click.option("--data-root", type=PATH, default=Path("data/walkers"), show_default=True)
@click.option("--cache", type=PATH, default=Path("poses/walkers"), show_default=True)
@output_option("Folder for trainings and table.", default=Path("runs/ablation"), show_default=True)
@click.option("--workers", type=PROCESSES, help="Trainings at a time. Default: one for two cores.")
@device_option("Of trainings and scoring: cpu, cuda, cuda:1, ...; auto: CUDA where there is one.")
@renamed("--out", "-o/--output")
def command(
    config: Path | None, data_root: Path, cache: Path, output: Path, workers: int | None, device: str
) -> None:
    """Train every variant with every seed; write table.md, table.json and plot.png to OUTPUT.

    Scores queries without and with an occluder apart. Every variant is compared with the first one, with a
    95 % interval and a p-value over seeds and persons together.
    Safe to interrupt: the same command runs what is missing, and repeats what was made with a different
    recipe or different poses.
    """
    import json
    from dataclasses import asdict

    from cache import PoseCache
    from cache.files import prepare_file, write_whole
    from pipeline import ablation
    from stages.device import find_device

    find_device(device)  # before hours of work
    cores = len(os.sched_getaffinity(0))
    workers = workers or max(1, cores // 2)
    jobs = ablation.plan(ablation.read_config(config), PoseCache.open(cache), data_root, output)
    prepare_file(output / "table.md")  # only now: a mistake above leaves no folder
    results = ablation.run(jobs, data_root, cache, workers, threads=max(1, cores // workers), device=device)
    table = ablation.summary(results)
    differences = ablation.against_first(results)
    text = ablation.markdown(table)
    if differences:
        text += "\n" + ablation.differences_markdown(differences, results[0]["variant"])
    write_whole(output / "table.md", text.encode())
    against_first = {variant: {k: asdict(v) for k, v in row.items()} for variant, row in differences.items()}
    content = json.dumps({"table": table, "against_first": against_first, "results": results})
    write_whole(output / "table.json", content.encode())
    seeds = len({result["seed"] for result in results})
    ablation.plot(table, output / "plot.png", f"Walkers: {len(table)} variants, {seeds} seeds each")
    say(text)
    say(f"table and plot: {output / 'table.md'}, {output / 'plot.png'}")
