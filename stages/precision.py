"""The numbers a network computes with: fp32, bf16 or fp16, chosen for a device and recorded in what is made.

`auto` must do no harm. On a CPU it is bf16 where there is AMX and a measurement shows it active, on a GPU
what it multiplies fast, and fp32 everywhere else: without AMX, bf16 was half as fast as fp32 on a CPU with
instructions for it.
"""

import copy
import functools
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "fp32", "bf16", "fp16"]
FASTER = 1.5  # bf16 has to be so many times as fast as fp32
SECONDS = 0.5  # that a measurement may take


def choose(wanted: str, device: "torch.device | str", half: str = "bf16") -> str:
    """fp32, bf16 or fp16: what was asked for, or for "auto" what is fast on the device.

    half: what auto takes on a GPU that is fast in both; fp16 has the finer steps, bf16 the range of fp32.
    """
    import torch

    if wanted != "auto":
        return wanted
    kind = torch.device(device).type
    if kind == "cuda":
        here = torch.cuda.is_available()  # or those of a cluster
        return half if not here or torch.cuda.get_device_capability(device)[0] >= 8 else "fp16"
    if kind == "cpu" and has_amx() and measured_gain() >= FASTER:
        return "bf16"
    return "fp32"


def dtype_of(precision: str) -> "torch.dtype":
    """The type of a network's numbers in a precision that was chosen."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def name_of(network: "torch.nn.Module") -> str:
    """The precision of a network's weights, by that of the first."""
    first = next(network.parameters(), None)
    names = {dtype_of(name): name for name in ("fp32", "bf16", "fp16")}
    return "fp32" if first is None else names[first.dtype]


def recorded(header: Mapping[str, Any]) -> str:
    """The precision that the header of a gallery names; auto where it names none."""
    precision = header.get("precision")
    return precision if precision in get_args(Precision) else "auto"


def has_amx() -> bool:
    """Whether this CPU has tiles that multiply bf16."""
    import torch

    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


@functools.cache
def measured_gain() -> float:
    """How many times as fast a product of matrices in bf16 is as in fp32 here, the best of each in turn.

    Limits such as ONEDNN_MAX_CPU_ISA switch AMX off behind the flags of the CPU.
    """
    import torch

    sides = [torch.ones(512, 768, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)]
    layers = [torch.nn.Linear(768, 768, dtype=side.dtype) for side in sides]
    best, end = [float("inf")] * 2, time.perf_counter() + SECONDS
    with torch.inference_mode():
        for i in range(1000):
            if i > 3 and time.perf_counter() > end:
                break
            for number, (layer, side) in enumerate(zip(layers, sides, strict=True)):
                start = time.perf_counter()
                layer(side)
                best[number] = min(best[number], time.perf_counter() - start)
    return best[0] / best[1]


def converted(network: "torch.nn.Module", precision: str) -> "torch.nn.Module":
    """A copy of a network with its weights in another precision, once and not at every call; fp32: itself.

    Its `half_parts` are converted, the others keep float32.
    """
    if precision == "fp32":
        return network
    made = copy.deepcopy(network)
    for part in made.half_parts():
        part.to(dtype_of(precision))
    return made
