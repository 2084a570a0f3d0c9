"""Calibration: thresholds of searching and linking, measured on a labelled gallery."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cache.files import prepare_file
from stages.reid.search.calibration import FILE, calibrate, save
from stages.reid.search.config import CalibrationConfig, LinkConfig
from stages.reid.search.gallery import read_gallery
from stages.reid.search.link_calibration import calibrate_link


def run(
    config: CalibrationConfig, galleries: Sequence[Path | str], output: Path | None = None
) -> tuple[Path, dict[str, Any]]:
    """Measure thresholds and keep them in a file, default beside the checkpoint; returns it and the entry.

    galleries: labelled, as of `read_gallery`. Raises KeyReIDError as `calibrate` and `save`.
    """
    gallery = read_gallery(galleries)
    path = output or Path(gallery.about["checkpoint"]["path"]).parent / FILE
    prepare_file(path)
    entry = calibrate(gallery, config)
    entry["link"] = calibrate_link(gallery, LinkConfig(distance=config.distance))
    return save(path, entry), entry
