"""Interventions on a trained network: it is evaluated again with heat, attention or patches replaced.

`run` embeds the test set under every condition and scores it with the queries alone changed and with both
sides changed; a change that both sides share can cancel.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.files import make_folder, write_whole
from stages.datasets.tracklet import Dataset, Tracklet
from stages.datasets.walkers.occlusion import Occlusion
from stages.datasets.walkers.record import RECORD, FrameRecord, has_frame_records, read_frame_records
from stages.reid.data.loader import naming_killed_workers, test_loader
from stages.reid.probing.conditions import Batches, Several, conditions
from stages.reid.probing.config import ProbeConfig
from stages.reid.probing.evidence import Recording, common_share, recording, side_cosines, weights_of_hidden
from stages.reid.probing.interventions import OtherClips
from stages.reid.probing.picture import probe_picture
from stages.reid.probing.sides import change, score_changed_queries, score_queries, values_of
from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.embed_set import described, embed_tracklets
from stages.reid.scoring.embeddings import TestSet
from stages.reid.scoring.protocols import PROTOCOLS, Protocol, protocols_for

RESULT, PICTURE = "probe.json", "probe.png"
PREFERRED = "queries-kept"  # of the protocols of MARS: rectangular AP, every query counts

GROUP_BYTES = 2**30  # of features that are held at a time
Progress = Callable[[Batches, str], Batches]


def run(
    model: Any,
    dataset: Dataset,
    cache: PoseCache,
    settings: EvalConfig,
    config: ProbeConfig,
    folder: Path,
    cameras: list[int],
    progress: Progress = lambda batches, what: batches,
    **about: Any,
) -> Path:
    """Probe a network; write probe.json and probe.png into `folder` and return it.

    model: in place, on its device. settings: how the network is evaluated. cameras: numbers of those that it
    knows, in its order. progress: wraps the batches of a pass, with its name. about: kept in the JSON.
    Raises KeyReIDError where nothing in the network can be changed.
    """
    planned = conditions(config, model)
    if not planned:
        raise KeyReIDError("the network has neither heat nor temporal attention: nothing to replace")
    make_folder(folder)
    (folder / RESULT).unlink(missing_ok=True)  # written last: it stands for the whole
    tracklets = dataset.test_tracklets()
    walkers = (dataset.root / RECORD).is_file()
    occlusion = Occlusion(dataset.root) if walkers else None
    records = read_frame_records(dataset.root) if has_frame_records(dataset.root) else {}

    def loader(poses: Any):
        return test_loader(model, settings, dataset.root, tracklets, poses, cameras)

    batches = loader(cache)
    with recording(model, len(batches.loader.dataset)) as recorded, naming_killed_workers():
        embedded = embed_tracklets(model, progress(batches, "as trained"), len(tracklets), settings.camera)
    header = {"split": dataset.split}
    made = described(model, settings, dataset.root, tracklets, embedded, dataset.name, header)
    plain = TestSet.of(dataset, made)
    protocol = _protocol(config, settings, plain)
    base = score_queries(plain, protocol, settings)
    names = plain.names[plain.query[base.valid]].tolist()
    halves = occlusion.halves(names) if occlusion else {"all": np.ones(len(names), bool)}
    report = {
        **about,
        "dataset": dataset.name,
        "split": dataset.split,
        "seed": config.seed,
        "protocol": protocol.name,
        "distance": settings.distance,
        "queries": {half: int(mask.sum()) for half, mask in halves.items()},
        "persons": len(np.unique(base.persons)),
        "plain": {
            half: {score: float(v[mask].mean()) for score, v in values_of(base).items()}
            for half, mask in halves.items()
        },
        "conditions": [],
        **_evidence(recorded, model, tracklets, records, settings),
    }
    size = max(1, GROUP_BYTES // plain.features.nbytes)  # conditions whose features fit in memory together
    for group in (planned[first : first + size] for first in range(0, len(planned), size)):
        several = Several(model, group)
        other = OtherClips(cache, tracklets, config.seed) if any(c.other_clips for c in group) else None
        stream = several.maps_of(progress(loader(cache), "replaced"), other and loader(other))
        with naming_killed_workers():
            embedded = embed_tracklets(several, stream, len(tracklets), settings.camera)
        for condition, changed in zip(group, _split(plain, embedded, len(group)), strict=True):
            sides = {
                "queries": score_changed_queries(plain, changed, protocol, settings),
                "both": score_queries(changed, protocol, settings),
            }
            report["conditions"].append(
                {
                    "name": condition.name,
                    "family": condition.family,
                    "size": condition.size,
                    **{s: change(base, v, halves, config.resamples, config.seed) for s, v in sides.items()},
                }
            )
    probe_picture(folder / PICTURE, report)
    write_whole(folder / RESULT, json.dumps(report, indent=1).encode())
    return folder


def _split(plain: TestSet, embedded: tuple[np.ndarray, np.ndarray], count: int) -> Iterator[TestSet]:
    """The embeddings of each of `count` conditions, from features and visibility side by side."""
    for features, visibility in zip(*(np.split(values, count, axis=1) for values in embedded), strict=True):
        seen = None if plain.visibility is None else visibility
        yield replace(plain, features=np.ascontiguousarray(features), visibility=seen)


def _protocol(config: ProbeConfig, settings: EvalConfig, plain: TestSet) -> Protocol:
    names = (config.protocol,) if config.protocol else settings.protocols
    kept = bool(np.isin(plain.query, plain.gallery).any())
    allowed = protocols_for(kept, names, plain.about.get("dataset"))
    return PROTOCOLS[PREFERRED] if PROTOCOLS[PREFERRED] in allowed else allowed[0]


def _evidence(
    recorded: Recording,
    model: Any,
    tracklets: Sequence[Tracklet],
    records: Mapping[str, FrameRecord],
    settings: EvalConfig,
) -> dict[str, Any]:
    """What the parts have in common, and the attention to hidden frames, as far as there are any."""
    relevance: dict[str, Any] = {}
    if recorded.parts:
        parts = np.stack(recorded.parts)
        relevance["parts"] = {
            "common_share": common_share(parts),
            "left_right_cosine": side_cosines(parts, model.config.parts),
        }
    if recorded.frame_weights and records:
        length = model.config.clip_length
        weights = weights_of_hidden(recorded.frame_weights, tracklets, records, settings, length)
        relevance["attention_to"] = {kind: asdict(weight) for kind, weight in weights.items()}
    return relevance
