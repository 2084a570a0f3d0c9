"""The queries that are shown with pictures: ranking list, attention to frames, part maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache import PoseCache
from cache.errors import KeyReIDError
from stages.datasets.tracklet import Dataset, Tracklet
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.provenance import known_cameras
from stages.report.attention import Look, look
from stages.report.config import ReportConfig
from stages.report.contents import Contents, Scored, checkpoint_of
from stages.report.pictures import Pictures
from stages.sheet import spread


@dataclass(frozen=True)
class Source:
    """Where pictures and attention come from, and where the network runs for them."""

    dataset: Dataset
    cache: PoseCache
    device: str = "cpu"


def camera_name(number: int) -> str:
    """A camera as the page writes it."""
    return "unknown" if number < 0 else str(number)


def query_row(
    query: Scored, rows: Mapping[str, int], embeddings: Embeddings, titles: Mapping[str, str]
) -> dict[str, Any]:
    """A query as the page lists it; titles: its occlusion group."""
    row = rows[query.name]
    return {
        "name": query.name,
        "person": int(embeddings.persons[row]),
        "camera": camera_name(int(embeddings.cameras[row])),
        "occlusion": titles.get(query.name, ""),
        "outcome": "right" if query.first_rank == 1 else "wrong",
        "ap": query.average_precision,
        "first": query.first_rank,
    }


def query_cards(
    contents: Contents,
    source: Source | None,
    config: ReportConfig,
    chosen: Mapping[str, Sequence[Scored]],
    titles: Mapping[str, str],
    rows: Mapping[str, int],
) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]]]:
    """The chosen queries with their ranking lists, and pictures where there is a source.

    And the sheets that the player shows: data URI, frames, width of a frame.
    """
    embeddings = contents.embeddings
    tracklets = {t.name: t for t in source.dataset.test_tracklets()} if source else {}
    pictures = Pictures(source.dataset.root, config.picture_height, config.jpeg_quality) if source else None

    def played(name: str) -> int | None:
        if pictures is None:
            return None
        frames = _known(tracklets, name, contents).frames
        return pictures.sheet([frames[at] for at in spread(len(frames), config.frames)])

    def answer(place: int, match: dict[str, Any]) -> dict[str, Any]:
        if match["name"] not in rows:
            raise KeyReIDError(f"{contents.run}: {match['name']} has no embedding; run keyreid eval again")
        row = rows[match["name"]]
        frames = _known(tracklets, match["name"], contents).frames if source else ()
        frame = frames[len(frames) // 2] if frames else None
        return {
            "place": place,
            "name": match["name"],
            "person": int(embeddings.persons[row]),
            "camera": camera_name(int(embeddings.cameras[row])),
            "right": bool(match["right"]),
            "distance": float(match["distance"]),
            "picture": pictures.frame(frame) if pictures and frame else None,
            "sheet": played(match["name"]),
        }

    everyone = [q for group in chosen.values() for q in group]
    looks = dict.fromkeys(q.name for q in everyone)
    parts: list[str] = []
    if source:
        in_order, parts = _looks(
            contents, source, config, [_known(tracklets, q.name, contents) for q in everyone]
        )
        looks = dict(zip((q.name for q in everyone), in_order, strict=True))
    cards = {}
    for kind, group in chosen.items():
        cards[kind] = [
            {
                **query_row(q, rows, embeddings, titles),
                "inp": q.inverse_penalty,
                "sheet": played(q.name),
                "answers": [
                    answer(i, m) for i, m in enumerate(contents.ranking[q.name][: config.answers], 1)
                ],
                **_seen(looks[q.name], pictures, parts),
            }
            for q in group
        ]
    sheets = [
        {"uri": uri, "frames": len(frames), "width": width}
        for frames, (uri, width) in (pictures.sheets if pictures else {}).items()
    ]
    return cards, sheets


def _known(tracklets: Mapping[str, Tracklet], name: str, contents: Contents) -> Tracklet:
    if name not in tracklets:
        raise KeyReIDError(
            f"{contents.run}: tracklet {name} is not in the data set; give the root that was evaluated with "
            "--data-root, or leave out pictures with --no-pictures"
        )
    return tracklets[name]


def _looks(
    contents: Contents, source: Source, config: ReportConfig, tracklets: list[Tracklet]
) -> tuple[list[Look], list[str]]:
    from stages.reid.model.weights import load_model

    model, extra = load_model(checkpoint_of(contents))
    evaluated = contents.eval_config
    cameras = known_cameras(extra, source.dataset, model.num_cameras, source.cache, evaluated.camera)
    looks = look(
        model.to(source.device),
        source.dataset.root,
        tracklets,
        source.cache,
        cameras,
        config.clips,
        evaluated,
        camera=evaluated.camera,
    )
    return looks, list(model.config.part_names)


def _seen(seen: Look | None, pictures: Pictures | None, parts: list[str]) -> dict[str, Any]:
    """The frames of a query with their attention, and its part maps; empty lists without a look."""
    if seen is None or pictures is None:
        return {"frames": [], "parts": [], "has_weights": False, "has_attention": False, "kept": None}
    middle = seen.frames[seen.middle]
    shown: list[dict[str, Any]] = []
    for k, part in enumerate(parts):
        heat = seen.heat[k]
        shown.append({"name": part, "highest": float(heat.max()), "heat": pictures.heat(middle, heat)})
        if seen.attention is not None and seen.shares is not None:
            attention = seen.attention[k]
            peak = float(attention.max()) or 1.0
            shown[-1]["attention"] = pictures.heat(middle, attention / peak, seen.kept)
            shown[-1]["share"] = float(attention.sum())
            shown[-1]["shares"] = seen.shares[k].tolist()
    weights = [None] * len(seen.frames) if seen.weights is None else np.asarray(seen.weights).tolist()
    return {
        "frames": [
            {"name": frame, "picture": pictures.frame(frame), "weight": weight}
            for frame, weight in zip(seen.frames, weights, strict=True)
        ],
        "parts": shown,
        "has_weights": seen.weights is not None,
        "has_attention": seen.attention is not None,
        "kept": None if seen.kept is None else float(seen.kept.mean()),
    }
