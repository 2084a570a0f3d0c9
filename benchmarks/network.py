"""What the network costs: embedding beside a bare ViT-B/16, a training step beside the earlier network.

    python -m benchmarks.network --clips 4 --repeats 5
    python -m benchmarks.network --device cuda
    python -m benchmarks.network --small                  # a few thousand weights, to try the script

Bare: timm's ViT-B/16 on all patches of every frame, nothing else. Earlier: all patches, and parts that read
rows of T tokens, T times the width (`benchmarks/made/earlier_network.py`). Ours: the default recipe. Clips of
4 frames of 256x128, 6 parts, float32. Runs alternate, medians are compared; floor: our operations at the best
rate of the trunk's products in the same run. Where products of bf16 are fast (AMX, a GPU), ours is also timed
in bf16 beside float32.
"""

import argparse
import json
import platform
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import floors
from benchmarks.made.earlier_network import EarlierNetwork
from stages.device import settle
from stages.precision import converted, has_amx
from stages.reid.model import KeyReID, ModelConfig
from stages.reid.model.backbone import build_vit

TARGETS = {"embedding": 0.6, "training step": 0.6}  # of the other side
FLOORS = {"embedding": 1.4, "training step": 1.4}  # at most, times our floor
HALF = {"embedding": 3.0, "training step": 2.5}  # times as fast as float32, with AMX
OTHERS = {"embedding": "bare ViT", "training step": "earlier network"}
PERSONS, CAMERAS = 625, 6
SMALL = {
    "backbone": "vit_tiny_patch16_224",
    "backbone_args": {"depth": 2, "embed_dim": 32, "num_heads": 2},
    "image_size": (64, 32),
}


class Bench:
    """The three networks, with inputs, optimisers and a clock."""

    def __init__(self, clips: int, device: str, small: bool = False, **fields):
        torch.manual_seed(0)
        self.device = torch.device(device)
        config = ModelConfig(**fields, **(SMALL if small else {}))
        with self.device:
            self.model = KeyReID(config, PERSONS, CAMERAS)
            self.bare = build_vit(config)[0].eval()
            self.earlier = EarlierNetwork(config, PERSONS, CAMERAS)
        on = {"device": self.device}
        self.images = torch.randn(clips, config.clip_length, 3, *config.image_size, **on)
        self.maps = torch.rand(clips, config.clip_length, self.model.num_parts, *self.model.grid, **on)
        self.persons = torch.arange(clips, **on) % PERSONS
        known = torch.arange(clips, **on) % CAMERAS
        self.cameras = None if device == "meta" else known  # a camera's range is checked by value
        self.keys = torch.arange(clips, **on)
        self.optimizers = {
            net: torch.optim.SGD(
                [p for p in net.parameters() if p.requires_grad], lr=1e-5, momentum=0.9, fused=True
            )
            for net in (self.model, self.earlier)
        }

    def now(self) -> float:
        return floors.now(self.device.type)

    @torch.no_grad()
    def embed(self, net: nn.Module) -> None:
        """Clips through ours, or their frames through the bare ViT."""
        if net is self.bare:
            net(self.images.flatten(0, 1))
        else:
            net.embed(self.images, self.maps, self.cameras)

    def loss(self, net: nn.Module) -> Tensor:
        if net is self.model:
            out = net(self.images, self.maps, self.cameras, self.keys)
            return self._identity([out.global_logits, *out.part_logits.unbind(1)]) + out.frame_scores.mean()
        scores, logits = net(self.images, self.maps.flatten(-2), self.cameras)
        return self._identity(logits) + scores.mean()

    def _identity(self, logits: Sequence[Tensor]) -> Tensor:
        return torch.stack([F.cross_entropy(one.float(), self.persons) for one in logits]).mean()

    def step(self, net: nn.Module) -> None:
        """Forward, losses, backward and SGD with momentum."""
        net.train()
        self.optimizers[net].zero_grad()
        self.loss(net).backward()
        self.optimizers[net].step()

    def sections(self) -> dict[str, tuple[Callable[[nn.Module], None], nn.Module, nn.Module]]:
        """What is measured, by name: what runs, the other side, ours."""
        return {
            "embedding": (self.embed, self.bare, self.model),
            "training step": (self.step, self.earlier, self.model),
        }


def operations(run: Callable[[], object]) -> int:
    """Operations of the matrix products in one call, a multiply-add counted as two."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def counts(clips: int, small: bool, **fields) -> dict[str, tuple[int, int]]:
    """Operations of every section, of the other side and ours, without running them."""
    bench = Bench(clips, "meta", small, **fields)
    plain = bench.model.eval()
    return {
        "embedding": (
            operations(lambda: bench.embed(bench.bare)),
            operations(lambda: plain(bench.images, bench.maps)),
        ),
        "training step": (
            operations(lambda: bench.loss(bench.earlier).backward()),
            operations(lambda: bench.loss(bench.model.train()).backward()),
        ),
    }


def matmul_rate(bench: Bench) -> float:
    """The best rate, in operations a second, among the matrix products that the trunk is made of."""
    best, width = 0.0, bench.model.backbone.width
    rows = bench.images.shape[0] * bench.images.shape[1] * (1 + bench.model.grid[0] * bench.model.grid[1])
    for inner, outer in ((width, 4 * width), (4 * width, width), (width, 3 * width)):
        left = torch.randn(rows, inner, device=bench.device)
        right = torch.randn(inner, outer, device=bench.device)
        for _ in range(8):
            start = bench.now()
            left @ right
            best = max(best, 2 * rows * inner * outer / (bench.now() - start))
    return best


def measure(bench: Bench, repeats: int) -> tuple[dict[str, tuple[float, float]], float]:
    """Median seconds of every section, the other side and ours in turn, the first thrown away; best rate."""
    medians, rate = {}, 0.0
    for name, (run, *sides) in bench.sections().items():
        seconds: list[list[float]] = [[], []]
        for i in range(repeats + 1):
            rate = max(rate, matmul_rate(bench))
            for side, net in enumerate(sides):
                start = bench.now()
                run(net)
                if i:
                    seconds[side].append(bench.now() - start)
        medians[name] = (statistics.median(seconds[0]), statistics.median(seconds[1]))
    return medians, rate


def halves(bench: Bench, repeats: int) -> None:
    """Print how many times as fast ours is in bf16: weights converted once, and a step under autocast."""
    if bench.device.type == "cpu" and not has_amx():
        print("bf16: skipped: no AMX")
        return
    half = converted(bench.model, "bf16").eval()

    def step() -> None:
        with torch.autocast(bench.device.type, torch.bfloat16):
            bench.step(bench.model)

    sides = {
        "embedding": (lambda: bench.embed(bench.model.eval()), lambda: bench.embed(half)),
        "training step": (lambda: bench.step(bench.model), step),
    }
    for section, calls in sides.items():
        times = [[floors.seconds(call, bench.device.type) for call in calls] for _ in range(repeats + 1)]
        full, fast = (statistics.median(column) for column in zip(*times[1:], strict=True))
        print(f"bf16 {section}: {fast:.3f} s, {full / fast:.2f} times as fast (at least {HALF[section]})")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--keep", type=float, help="share of patches that the trunk sees; default: the model's"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--small", action="store_true", help="a tiny network: its figures mean nothing")
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    settle(options.device)
    fields = {} if options.keep is None else {"keep": options.keep}
    bench = Bench(options.clips, options.device, options.small, **fields)
    name = torch.cuda.get_device_name() if options.device.startswith("cuda") else platform.processor()
    threads = torch.get_num_threads()
    print(f"{name or platform.machine()}, {threads} threads, torch {torch.__version__}, float32")
    trunk = "a tiny ViT" if options.small else "ViT-B/16"
    kept = f"{bench.model.config.kept_share:.0%} of the patches kept"
    print(f"{trunk}, {options.clips} clips of {bench.model.config.clip_length} frames, 6 parts, {kept}")
    for title, net in (("ours", bench.model), ("earlier", bench.earlier), ("bare ViT", bench.bare)):
        print(f"{title}: {sum(p.numel() for p in net.parameters()) / 1e6:.1f} million parameters")
    counted = counts(options.clips, options.small, **fields)
    medians, rate = measure(bench, options.repeats)
    rows = {}
    print(f"\n{'':14}{'beside':>17}{'it':>10}{'ours':>10}{'ratio':>8}{'target':>8}", end="")
    print(f"{'by count':>10}{'floor':>10}{'ours/floor':>12}")
    for section, target in TARGETS.items():
        other, ours = medians[section]
        theirs, own = counted[section]
        row = rows[section] = {
            "beside": OTHERS[section],
            "other_s": other,
            "ours_s": ours,
            "ratio": ours / other,
            "target": target,
            "operations": {"other": theirs, "ours": own},
            "ratio_by_count": own / theirs,
            "floor_s": own / rate,
        }
        print(
            f"{section:14}{row['beside']:>17}{other:9.3f}s{ours:9.3f}s{row['ratio']:8.2f}{target:8.2f}"
            f"{row['ratio_by_count']:10.2f}{row['floor_s']:9.3f}s{ours / row['floor_s']:11.2f}x"
        )
    print(
        "\nours/floor: at most "
        + ", ".join(f"{most} ({section})" for section, most in FLOORS.items())
        + ".\nratio: ours over the other side, smaller is better. by count: ratio of the operations of the "
        f"matrix products.\nfloor: our operations at {rate / 1e9:.0f} G/s, the best rate of the trunk's "
        "products here."
    )
    halves(bench, options.repeats)
    print(f"{floors.peak_memory(options.device)}, {floors.busy()}")
    if options.json:
        settings = vars(options) | {"json": None, "threads": threads}
        options.json.write_text(json.dumps({"settings": settings, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
