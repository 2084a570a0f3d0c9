"""Stage two: frames and cached poses in, a trained network and a ranked answer out.

>>> from stages.reid import Embedder        # imported when asked for: the rest needs no torch
"""

__all__ = ["Embedder"]


def __getattr__(name: str):
    if name == "Embedder":
        from stages.reid.embedder import Embedder

        return Embedder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
