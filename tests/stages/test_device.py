"""Devices that can compute, and refusals of those that cannot."""

import pytest
import torch

from cache.errors import KeyReIDError
from stages.device import find_device, layout
from tests.stages.reid.model.tiny import tiny_clips, tiny_model


def test_auto_is_cuda_where_there_is_one_and_else_the_cpu():
    assert find_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert find_device("cpu") == "cpu"


@pytest.mark.parametrize("wanted", ["meta", "tpu", "cuda:99", "cpu:x", ""])
def test_a_device_that_cannot_compute_is_refused_in_one_line(wanted):
    with pytest.raises(KeyReIDError, match=r"use cpu, cuda, cuda:1, \.\.\. or auto$") as error:
        find_device(wanted)
    assert "\n" not in str(error.value)


def test_patches_are_cut_alike_in_the_memory_layout_of_a_gpu():
    assert layout("cpu") is torch.contiguous_format
    assert layout("cuda") is layout("cuda:1") is torch.channels_last
    model = tiny_model().eval()
    clips = tiny_clips(model)
    before = model.embed(*clips)
    after = model.to(memory_format=layout("cuda")).embed(*clips)
    assert model.backbone.vit.patch_embed.proj.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(after, before, atol=1e-5)
