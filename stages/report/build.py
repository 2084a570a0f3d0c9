"""Builds the report of an evaluated run."""

from datetime import datetime
from pathlib import Path
from typing import Any

from cache.errors import KeyReIDError
from cache.files import prepare_file, write_whole
from stages.report import occlusion as hiding
from stages.report import views
from stages.report.cards import Source, camera_name, query_cards, query_row
from stages.report.config import ReportConfig
from stages.report.contents import Contents, read_contents
from stages.report.distances import analyse
from stages.report.failures import best_and_worst, by_title
from stages.report.page import flat, render
from stages.report.probe import probe_view

NAME = "report.html"


def run(
    run_dir: Path,
    source: Source | None,
    config: ReportConfig | None = None,
    out: Path | None = None,
    evaluation: Path | None = None,
) -> Path:
    """Write the report of an evaluated run; return its path, by default RUN/report.html.

    run_dir: a run with eval/ in it, or the folder of an evaluation. source: the data set and pose cache it
    was evaluated on; None leaves out frames, part maps and attention. evaluation: where its scores are, if
    elsewhere.
    Raises KeyReIDError where something that the report is made of is missing or belongs to another run.
    """
    config = config or ReportConfig()
    contents = read_contents(Path(run_dir), evaluation)
    out = out or contents.run / NAME
    prepare_file(out)
    page = render(_view(contents, source, config))
    write_whole(out, page.encode())
    return out


def _view(contents: Contents, source: Source | None, config: ReportConfig) -> dict[str, Any]:
    embeddings, queries = contents.embeddings, contents.queries
    rows = {str(name): i for i, name in enumerate(embeddings.names)}
    unknown = [q.name for q in queries if q.name not in rows]
    if unknown:
        raise KeyReIDError(f"{contents.run}: query {unknown[0]} has no embedding; run keyreid eval again")
    names = [q.name for q in queries]
    distances = analyse(embeddings, contents.protocol, contents.eval_config)
    covers = _covers(source, names)
    groups = hiding.by_cover({n: c.covered for n, c in covers.items()}) if covers else None
    groups = groups or hiding.by_heat(embeddings, names)
    titles = {n: groups.titles[g] for n, g in groups.group.items()} if groups else {}
    best, worst = best_and_worst(queries, config.queries)
    cards, sheets = query_cards(contents, source, config, {"best": best, "worst": worst}, titles, rows)
    table = sorted(queries, key=lambda q: (q.average_precision, q.name))
    part_names = contents.part_names or [f"part {k + 1}" for k in range(embeddings.parts)]
    hidden = hiding.hidden_parts(embeddings, names)
    return {
        "title": contents.run.name,
        "made": f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
        "line": contents.scores.get("line", ""),
        "headline": contents.scores["headline"],
        "distance": contents.scores["distance"],
        "rerank": contents.scores.get("rerank"),
        "pictures": source is not None,
        "scores": views.score_rows(contents),
        "baselines": views.baseline_rows(contents),
        "probe": probe_view(contents.run),
        "training": views.training_charts(contents),
        "cmc": views.cmc_chart(contents),
        "histogram": views.distance_chart(distances),
        "nearer": distances.nearer,
        "cards": cards,
        "sheets": sheets,
        "links": {q["name"]: f"{kind}-{i}" for kind, group in cards.items() for i, q in enumerate(group, 1)},
        "queries": [query_row(q, rows, embeddings, titles) for q in table[: config.table_rows]],
        "left_out": max(0, len(table) - config.table_rows),
        "cameras": [camera_name(c) for c in sorted({int(embeddings.cameras[rows[n]]) for n in names})],
        "occlusions": [t for t in groups.titles if t in set(titles.values())] if groups else [],
        "pairs": [(camera_name(p.query_camera), camera_name(p.gallery_camera), p) for p in distances.pairs],
        "by_occlusion": sorted(
            by_title(queries, titles), key=lambda g: groups.titles.index(g.title) if groups else 0
        ),
        "occlusion_kind": groups.kind if groups else None,
        "by_occluder": by_title(queries, {n: c.kind or "nothing" for n, c in covers.items()}),
        "by_part": [
            group
            for k, part in enumerate(part_names)
            for group in by_title(queries, {n: part for n in names if k in hidden.get(n, ())})
        ],
        "settings": flat(contents.settings),
        "versions": flat(contents.environment.get("versions", {})),
        "about": [
            (key, " ".join(map(str, value)) if isinstance(value, list) else str(value))
            for key, value in contents.environment.items()
            if key != "versions"
        ],
    }


def _covers(source: Source | None, names: list[str]) -> dict[str, hiding.Occlusion]:
    """What covers each query, where the data set keeps a record of it."""
    occluders = hiding.read_occluders(source.dataset.root) if source else None
    if source is None or occluders is None:
        return {}
    wanted = set(names)
    return {t.name: hiding.of_tracklet(t, occluders) for t in source.dataset.query if t.name in wanted}
