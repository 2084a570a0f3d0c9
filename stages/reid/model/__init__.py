"""The network of stage two. Names are imported when asked for, so that `parts` needs no torch."""

import importlib

SOURCES = {
    "ClipOutput": "keyreid",
    "KeyReID": "keyreid",
    "ModelConfig": "config",
    "load_model": "weights",
    "load_published": "published_weights",
    "save_model": "weights",
}
__all__ = ["ClipOutput", "KeyReID", "ModelConfig", "load_model", "load_published", "save_model"]


def __getattr__(name: str):
    if name not in SOURCES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{SOURCES[name]}"), name)
