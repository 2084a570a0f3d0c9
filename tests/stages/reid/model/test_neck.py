"""The neck: batch normalisation without bias, over the features of all processes."""

import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from stages.reid.model.neck import Neck


def features() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(6, 4, generator=draw) * 3 + 1, torch.randn(6, 4, generator=draw)


def neck_of_test() -> Neck:
    neck = Neck(4)
    with torch.no_grad():
        neck.weight.copy_(torch.arange(1, 5) / 2)
    return neck


def one_process(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    x, weight = (t[rank * 3 : rank * 3 + 3] for t in features())
    x = x.clone().requires_grad_()
    neck = neck_of_test()
    out = neck(x)
    (out * weight).sum().backward()
    result = {"out": out.detach(), "grad": x.grad, "neck": neck.weight.grad, "mean": neck.running_mean}
    torch.save(result, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_train_like_one_on_the_whole_batch():
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(one_process, args=(folder,), nprocs=2)
        parts = [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(2)]
    x, weight = features()
    x.requires_grad_()
    neck = neck_of_test()
    out = neck(x)
    (out * weight).sum().backward()
    assert torch.allclose(torch.cat([p["out"] for p in parts]), out, atol=1e-6)
    assert torch.allclose(torch.cat([p["grad"] for p in parts]), x.grad, atol=1e-6)
    assert torch.allclose(sum(p["neck"] for p in parts), neck.weight.grad, atol=1e-5)
    assert all(torch.allclose(p["mean"], neck.running_mean) for p in parts)


def test_the_bias_is_zero_and_not_trained():
    neck = Neck(4)
    neck(torch.randn(3, 4)).square().sum().backward()
    assert neck.bias.grad is None and (neck.bias == 0).all()
    assert neck.weight.grad is not None
