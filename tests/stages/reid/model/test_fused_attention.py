"""Where blocks run in full, torch's scaled-dot-product attention does the work."""

import pytest
from torch.overrides import TorchFunctionMode

from tests.stages.reid.model.tiny import SIZES, keeping, tiny_clips, tiny_model


class Calls(TorchFunctionMode):
    """Counts calls of torch's scaled-dot-product attention and softmaxes made beside it."""

    def __init__(self):
        super().__init__()
        self.fused = self.softmaxes = 0

    def __torch_function__(self, function, types, arguments=(), named=None):
        name = getattr(function, "__name__", "")
        self.fused += name == "scaled_dot_product_attention"
        self.softmaxes += name == "softmax"
        return function(*arguments, **(named or {}))


BACKBONES = [
    "vit_tiny_patch16_224",
    "vit_relpos_medium_patch16_cls_224",
    "eva02_tiny_patch14_224",
    "vit_small_patch16_rope_mixed_224",
    "beit_base_patch16_224",
]


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_blocks_that_run_in_full_use_torchs_own_attention(backbone, training):
    args = {**SIZES, "depth": 4}
    model = tiny_model(backbone=backbone, backbone_args=args, **keeping(backbone)).train(training)
    with Calls() as calls:
        model(*tiny_clips(model))
    whole = backbone != "vit_tiny_patch16_224"  # of other families the last block runs in full too
    assert calls.fused == 3 + whole
    # by hand: the queries of the parts, the class row of the plain last block, and the weights of frames
    assert calls.softmaxes == 3 - whole


@pytest.mark.parametrize("guidance", ["prior", "published"])
def test_torchs_own_attention_is_switched_on_in_every_block(guidance):
    model = tiny_model(guidance=guidance, part_specific=True)
    switches = [m.fused_attn for m in model.modules() if hasattr(m, "fused_attn")]
    assert len(switches) == 2 + 6 and all(switches)
