"""Where a network runs."""

from cache.errors import KeyReIDError


def find_device(wanted: str) -> str:
    """The name of a device that can compute: "auto" is cuda where there is one, else cpu.

    Raises KeyReIDError for a device that is not there, or that only pretends to compute (`meta`).
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.ones(1, device=wanted).item()
    except (RuntimeError, AssertionError) as error:  # torch names a missing build in an AssertionError
        reason = str(error).strip().splitlines()[0]
        raise KeyReIDError(f"device {wanted}: {reason}; use cpu, cuda, cuda:1, ... or auto") from error
    return wanted
