"""Where a network runs."""

from typing import TYPE_CHECKING

from cache.errors import KeyReIDError

if TYPE_CHECKING:
    import torch


def find_device(wanted: str) -> str:
    """The name of a device that can compute: "auto" is cuda where there is one, else cpu.

    Raises KeyReIDError for a device that is not there, or that only pretends to compute (`meta`).
    """
    import torch

    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.ones(1, device=wanted).item()
    except (RuntimeError, AssertionError) as error:  # torch names a missing build in an AssertionError
        reason = str(error).strip().splitlines()[0]
        raise KeyReIDError(f"device {wanted}: {reason}; use cpu, cuda, cuda:1, ... or auto") from error
    settle(wanted)
    return wanted


def settle(device: str) -> None:
    """How this process computes on a GPU: fp32 is float32, not TF32; convolutions are chosen by trying."""
    import torch

    if device.startswith("cuda"):
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True


def layout(device: str) -> "torch.memory_format":
    """How weights of convolutions lie in memory there: tensor cores of a GPU read channels-last."""
    import torch

    return torch.channels_last if device.startswith("cuda") else torch.contiguous_format
