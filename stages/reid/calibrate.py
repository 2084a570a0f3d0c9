"""Calibration: thresholds of searching and linking, measured on a labelled gallery."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cache.files import prepare_file
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
    path = output or Path(gallery.about["checkpoint"]["path"]).parent / FILE
    prepare_file(path)
    if travel is not None:
        check_cameras(travel, ways, gallery)
    entry = calibrate(gallery, config)
    settings = LinkConfig(distance=config.distance, neighbours=config.neighbours, shared=config.shared)
    cases = [((), False), ((), True)] + [(ways, False)] * bool(ways)
    entry["link"] = [made for case in cases if (made := calibrate_link(gallery, settings, *case)) is not None]
    return save(path, entry), entry
