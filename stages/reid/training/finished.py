"""The networks that a run leaves: last, their moving average, the best, and the chosen one as `model`."""

import logging
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from cache.errors import KeyReIDError
from cache.files import writing
from stages.reid.model import KeyReID
from stages.reid.model.weights import save_model
from stages.reid.training.resume import Progress

log = logging.getLogger(__name__)


class FinishedWeights:
    """Files of a run folder, `NAME.safetensors` with `NAME.json` each. For the main process."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        """about: what every network's JSON says about its origin, JSON values."""
        self.folder, self.about = folder, about

    def write(self, network: KeyReID, name: str, progress: Progress, **more: Any) -> None:
        """Raises KeyReIDError where the disk refuses."""
        path = self.folder / f"{name}.safetensors"
        place = {"weights": name, "step": progress.step, "epoch": progress.epoch}
        try:
            save_model(network, path, **self.about, **place, **more)
        except SafetensorError as error:
            raise KeyReIDError(f"{path}: cannot be written ({error}); free some space") from None

    def publish(self, name: str) -> None:
        """Make the network `name` the run's `model`, without a second copy where there are hard links."""
        for suffix in (".json", ".safetensors"):
            source = self.folder / f"{name}{suffix}"
            with writing(self.folder / f"model{suffix}") as aside:
                try:
                    aside.hardlink_to(source)
                except OSError:
                    shutil.copyfile(source, aside)
        log.info("finished: %s weights are %s", name, self.folder / "model.safetensors")
