"""Calibration: thresholds of searching and linking, measured on a labelled gallery."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cache.errors import KeyReIDError
from cache.files import prepare_file, sha256_of
from stages.reid.search.calibration import FILE, calibrate, save
from stages.reid.search.config import CalibrationConfig, LinkConfig
from stages.reid.search.gallery import read_gallery
from stages.reid.search.link_calibration import calibrate_link
from stages.reid.search.link_files import check_cameras, read_travel


def run(
    config: CalibrationConfig,
    galleries: Sequence[Path | str],
    output: Path | None = None,
    travel: Path | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Measure thresholds and keep them in a file, default beside the checkpoint; returns it and the entry.

    galleries: labelled, as of `read_gallery`. travel: YAML file of travel times, for links that use them.
    Raises KeyReIDError as `calibrate`, `read_travel` and `save`.
    """
    ways = () if travel is None else read_travel(travel)
    gallery = read_gallery(galleries, stored=True)
    path = output or _beside(gallery.about["checkpoint"])
    prepare_file(path)
    if travel is not None:
        check_cameras(travel, ways, gallery)
    entry = calibrate(gallery, config)
    settings = LinkConfig(distance=config.distance, neighbours=config.neighbours, shared=config.shared)
    cases = [((), False), ((), True)] + [(ways, False)] * bool(ways)
    entry["link"] = [made for case in cases if (made := calibrate_link(gallery, settings, *case)) is not None]
    return save(path, entry), entry


def _beside(checkpoint: Mapping[str, Any]) -> Path:
    """Galleries come from others, too: a file is written into a folder only if the checkpoint is there."""
    path = Path(checkpoint["path"])
    if not path.is_file() or sha256_of(path) != checkpoint["sha256"]:
        raise KeyReIDError(
            f"{path}: the checkpoint of the gallery is not there, or has changed since; name the file of the "
            "calibration with --output, and give it to keyreid search and link as --calibration"
        )
    return path.parent / FILE
