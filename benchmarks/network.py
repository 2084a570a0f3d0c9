"""The network against its plain formulation: time, memory, and the floor by operation count.

    python -m benchmarks.network --guidance prior --clips 4 --repeats 5
    python -m benchmarks.network --guidance published --device cuda
    python -m benchmarks.network --small                  # a few thousand weights, to try the script

Plain: the wide block in full, on all rows, once for each of the six parts; the global branch's last
block on all rows too. Both sides share weights and inputs and use torch's scaled-dot-product
attention; ViT-B/16, clips of 4 frames of 256x128, float32. Runs alternate, medians are compared.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from stages.reid.model import KeyReID, ModelConfig
from tests.stages.reid.model.plain import plain

TARGETS = {
    "local forward": 12.0,
    "local backward": 12.0,
    "whole forward": 1.9,
    "training step": 2.2,
}
MEMORY_TARGET = 0.65
PERSONS, CAMERAS = 625, 6
SMALL = {
    "backbone": "vit_tiny_patch16_224",
    "backbone_args": {"depth": 2, "embed_dim": 32, "num_heads": 2},
    "image_size": (64, 32),
}


class Bench:
    """One network in both formulations, with inputs, an optimiser and a clock."""

    def __init__(self, guidance: str, clips: int, device: str, small: bool = False):
        torch.manual_seed(0)
        self.device = torch.device(device)
        with self.device:
            self.model = KeyReID(ModelConfig(guidance=guidance, **(SMALL if small else {})), PERSONS, CAMERAS)
        self.sides = {"plain": plain(self.model), "ours": self.model}
        frames, width = self.model.config.clip_length, self.model.backbone.width
        patches = self.model.grid[0] * self.model.grid[1]
        on = {"device": self.device}
        self.images = torch.randn(clips, frames, 3, *self.model.config.image_size, **on)
        self.maps = torch.rand(clips, frames, self.model.num_parts, *self.model.grid, **on)
        self.tokens = torch.randn(clips, frames, 1 + patches, width, **on)
        self.heat = self.maps.flatten(-2)
        self.persons = torch.arange(clips, **on) % PERSONS
        known = torch.arange(clips, **on) % CAMERAS
        self.cameras = None if device == "meta" else known  # a camera's range is checked by value
        self.keys = torch.arange(clips, **on)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=1e-5, momentum=0.9, weight_decay=1e-4, fused=True)

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def local(self, net: KeyReID) -> dict[str, float]:
        """The local branch alone, gradients of tokens and weights included."""
        tokens = self.tokens.clone().requires_grad_()
        self.optimizer.zero_grad()
        start = self.now()
        features, _ = net.local_branch(tokens, self.heat, self.keys)
        middle = self.now()
        features.sum().backward()
        end = self.now()
        return {"local forward": middle - start, "local backward": end - middle}

    @torch.no_grad()
    def forward(self, net: KeyReID) -> dict[str, float]:
        start = self.now()
        net(self.images, self.maps, self.cameras, self.keys)
        return {"whole forward": self.now() - start}

    def losses(self, net: KeyReID) -> torch.Tensor:
        out = net(self.images, self.maps, self.cameras, self.keys)
        logits = torch.cat([out.global_logits[:, None], out.part_logits], dim=1)  # [B, 1+K, C]
        identity = F.cross_entropy(logits.flatten(0, 1), self.persons.repeat_interleave(logits.shape[1]))
        spread = out.global_feature.square().mean() + out.part_features.square().mean()
        return identity + spread + out.frame_scores.mean()

    def step(self, net: KeyReID) -> dict[str, float]:
        start = self.now()
        self.optimizer.zero_grad()
        self.losses(net).backward()
        self.optimizer.step()
        return {"training step": self.now() - start}

    def peak_bytes(self, net: KeyReID) -> int:
        """Peak of a training step beyond weights, gradients and momentum, which all exist before it."""
        self.optimizer.zero_grad(set_to_none=False)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            self.losses(net).backward()
            self.optimizer.step()
            return torch.cuda.max_memory_allocated() - before
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            self.losses(net).backward()
            self.optimizer.step()
        events = profiler.profiler.kineto_results.events()
        changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
        held = peak = 0
        for _, change in changes:
            held += change
            peak = max(peak, held)
        return peak


def differences(bench: Bench) -> tuple[float, float]:
    """Relative differences of the two sides: of the features, and of the gradient that differs most.

    Gradients are those of a fixed random projection of all outputs. (Those of the losses alone nearly
    cancel in some biases, because batch normalisation follows; there is nothing to compare there.)
    """
    features, gradients = {}, {}
    trained = [p for p in bench.model.parameters() if p.requires_grad]
    for side, net in bench.sides.items():
        bench.optimizer.zero_grad()
        out = net(bench.images, bench.maps, bench.cameras, bench.keys)
        torch.manual_seed(1)
        sum((t * torch.randn_like(t)).sum() for t in out[:5]).backward()
        gradients[side] = [p.grad for p in trained]
        features[side] = torch.cat([out.global_feature, out.part_features.flatten(1)], dim=1).detach()
    pairs = zip(gradients["ours"], gradients["plain"], strict=True)
    worst = max(float((a - b).norm() / b.norm().clamp_min(1e-30)) for a, b in pairs)
    bench.optimizer.zero_grad()
    return float((features["ours"] - features["plain"]).norm() / features["plain"].norm()), worst


def operations(run: Callable[[], object]) -> int:
    """Operations of the matrix products in one call, a multiply-add counted as two."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def counts(guidance: str, clips: int, small: bool) -> dict[str, dict[str, int]]:
    """Operations of every measured section, both sides, without running them."""
    bench, found = Bench(guidance, clips, "meta", small), {}
    for side, net in bench.sides.items():
        with torch.no_grad():
            forward = operations(lambda net=net: bench.forward(net))
            local = operations(lambda net=net: net.local_branch(bench.tokens, bench.heat, bench.keys))
        both = operations(lambda net=net: bench.local(net))
        step = operations(lambda net=net: bench.losses(net).backward())
        found[side] = {
            "local forward": local,
            "local backward": both - local,
            "whole forward": forward,
            "training step": step,
        }
    return found


def matmul_rate(bench: Bench) -> float:
    """The best rate, in operations a second, among the matrix products that the trunk is made of."""
    best = 0.0
    rows = bench.images.shape[0] * bench.images.shape[1] * bench.tokens.shape[2]
    for inner, outer in ((768, 3072), (3072, 768), (768, 2304)):
        left = torch.randn(rows, inner, device=bench.device)
        right = torch.randn(inner, outer, device=bench.device)
        for _ in range(8):
            start = bench.now()
            left @ right
            best = max(best, 2 * rows * inner * outer / (bench.now() - start))
    return best


def measure(bench: Bench, repeats: int) -> tuple[dict[str, dict[str, list[float]]], float]:
    """Seconds of every section, plain and ours in turn, the first of each thrown away; and the best rate."""
    seconds, rate = {side: {name: [] for name in TARGETS} for side in bench.sides}, 0.0
    for run in (bench.local, bench.forward, bench.step):
        for i in range(repeats + 1):
            rate = max(rate, matmul_rate(bench))
            for side, net in bench.sides.items():
                for name, value in run(net).items():
                    if i:
                        seconds[side][name].append(value)
    return seconds, rate


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--guidance", choices=["prior", "published"], default="prior")
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--small", action="store_true", help="a tiny network: its figures mean nothing")
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    bench = Bench(options.guidance, options.clips, options.device, options.small)
    name = torch.cuda.get_device_name() if options.device.startswith("cuda") else platform.processor()
    threads = torch.get_num_threads()
    print(f"{name or platform.machine()}, {threads} threads, torch {torch.__version__}, float32")
    trunk = "a tiny ViT" if options.small else "ViT-B/16"
    print(f"{trunk}, {options.clips} clips of 4 frames, 6 parts, guidance {options.guidance}, training mode")
    counted = counts(options.guidance, options.clips, options.small)
    forward, gradient = differences(bench)
    print(f"relative difference of ours from plain: features {forward:.1e}, worst gradient {gradient:.1e}")
    seconds, rate = measure(bench, options.repeats)
    rows = {}
    print(f"\n{'':16}{'plain':>10}{'ours':>10}{'ratio':>8}{'target':>8}", end="")
    print(f"{'by count':>10}{'floor':>10}{'ours/floor':>12}")
    for section, target in TARGETS.items():
        plain_s, ours_s = (statistics.median(seconds[side][section]) for side in ("plain", "ours"))
        ours_count = counted["ours"][section]
        row = rows[section] = {
            "plain_s": plain_s,
            "ours_s": ours_s,
            "ratio": plain_s / ours_s,
            "target": target,
            "ratio_by_count": counted["plain"][section] / ours_count,
            "floor_s": ours_count / rate,
        }
        print(
            f"{section:16}{plain_s:9.3f}s{ours_s:9.3f}s{row['ratio']:7.2f}x{target:7.1f}x"
            f"{row['ratio_by_count']:9.2f}x{row['floor_s']:9.3f}s{ours_s / row['floor_s']:11.2f}x"
        )
    peaks = {side: bench.peak_bytes(net) for side, net in bench.sides.items()}
    rows["peak memory"] = {**peaks, "ratio": peaks["ours"] / peaks["plain"], "target": MEMORY_TARGET}
    print(
        f"{'peak memory':16}{peaks['plain'] / 1e6:8.0f}MB{peaks['ours'] / 1e6:8.0f}MB"
        f"{rows['peak memory']['ratio']:7.2f}x{MEMORY_TARGET:7.2f}x   net of weights, gradients, momentum"
    )
    print(
        "\nby count: ratio of the operations of the matrix products. floor: our operations at "
        f"{rate / 1e9:.0f} G/s, the\nbest rate of the trunk's products here. The local branch lies further "
        "above its floor, since a few rows\nmeet many weights (113 M of ViT-B/16): reading them and writing "
        "their gradients takes longer than\nthe products."
    )
    if options.json:
        settings = vars(options) | {"json": None, "threads": threads}
        figures = {"settings": settings, "rows": rows, "differences": [forward, gradient]}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
