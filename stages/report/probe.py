"""The page's section about a probe of the run: `keyreid probe`."""

import base64
from pathlib import Path
from typing import Any

from cache.border import reading
from cache.files import sha256_of
from cache.text_files import load_json

FOLDER, RESULT, PICTURE = "probe", "probe.json", "probe.png"


def probe_view(run: Path) -> dict[str, Any] | None:
    """What the page shows of RUN/probe; None without one, or where it is of other weights than the run's.

    Raises KeyReIDError for a probe.json that is none.
    """
    path, weights = run / FOLDER / RESULT, run / "model.safetensors"
    if not path.is_file() or not weights.is_file():
        return None
    with reading(path, "the result of a probe", "run keyreid probe again"):
        report = load_json(path)
        if report["sha256"] != sha256_of(weights):
            return None
        picture = base64.b64encode((run / FOLDER / PICTURE).read_bytes()).decode()
        columns = [(side, half) for half in report["plain"] for side in ("queries", "both")]
        return {
            "protocol": report["protocol"],
            "plain": report["plain"],
            "queries": report["queries"],
            "persons": report["persons"],
            "picture": f"data:image/png;base64,{picture}",
            "rows": [
                {"name": one["name"], "cells": [one[side][half]["mAP"] for side, half in columns]}
                for one in report["conditions"]
            ],
            "parts": report.get("parts"),
            "attention": report.get("attention_to", {}),
        }
