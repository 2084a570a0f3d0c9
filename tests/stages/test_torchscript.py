"""TorchScript archives give their tensors, and nothing in them runs."""

import zipfile

import pytest
import torch
from torch import nn

from cache.errors import KeyReIDError
from stages.torchscript import is_archive
from stages.weights_file import read_tensors


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = nn.MultiheadAttention(8, 2)
        self.norm = nn.LayerNorm(8)
        self.register_buffer("steps", torch.arange(3))

    def forward(self, x):
        return self.norm(self.attn(x, x, x)[0])


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(4, 3).t())  # not contiguous
        self.blocks = nn.Sequential(Block(), Block())
        self.size, self.label, self.shape = 7, "x", [1, 2]

    def forward(self, x):
        return self.blocks(x) * self.size


@pytest.mark.parametrize("form", ["scripted", "traced"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_tensors_are_those_that_torch_loads(tmp_path, form, dtype):
    path, network = tmp_path / "ViT-B-16.pt", Network().to(dtype).eval()
    script = torch.jit.script if form == "scripted" else torch.jit.trace
    arguments = () if form == "scripted" else (torch.randn(2, 1, 8, dtype=dtype),)
    script(network, *arguments).save(path)
    tensors, expected = read_tensors(path), torch.jit.load(path).state_dict()
    assert tensors.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(tensors[name], value) and tensors[name].dtype == value.dtype


def test_files_of_torch_save_are_no_archives(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "plain.pth")
    (tmp_path / "text.pth").write_text("no zip")
    assert not is_archive(tmp_path / "plain.pth") and not is_archive(tmp_path / "text.pth")


def rewritten(path, out, change):
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return out


def test_code_and_damage_are_refused_by_name(tmp_path):
    path = tmp_path / "good.pt"
    torch.jit.script(Network()).save(path)
    call = b"cos\nsystem\n(S'touch /tmp/never'\ntR."
    evil = rewritten(path, tmp_path / "evil.pt", lambda n, d: call if n.endswith("/data.pkl") else d)
    with pytest.raises(
        KeyReIDError, match=r"evil\.pt: not a whole TorchScript archive .*it names os\.system"
    ):
        read_tensors(evil)
    short = rewritten(path, tmp_path / "short.pt", lambda n, d: d[:-2] if n.endswith("/data/0") else d)
    with pytest.raises(
        KeyReIDError, match=r"short\.pt: not a whole TorchScript archive of a network \(.*storage 0"
    ):
        read_tensors(short)
    cut = rewritten(path, tmp_path / "cut.pt", lambda n, d: d[:40] if n.endswith("/data.pkl") else d)
    with pytest.raises(KeyReIDError, match=r"cut\.pt"):
        read_tensors(cut)
