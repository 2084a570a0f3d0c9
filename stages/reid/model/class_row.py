"""The last block of a branch, computed for the class row alone.

Only row 0 of a last block is read, so one query, one projection and one MLP row are enough. With
a single query the wide projections of keys and values go too:

    logit of row i   q . (Wk y_i + bk)        = (Wk' q) . y_i + a constant, which softmax drops
    value read       sum_i a_i (Wv y_i + bv)  = Wv (sum_i a_i y_i) + bv

The query is carried through Wk once instead of every row, and rows are mixed before they are
projected. For B clips of R rows of width D, H heads and K parts that costs D*D + R*D*H (keys) and
K*(R*H*D + D*D) (values) products a clip, against R*D*D each for projecting all rows. It is less
whenever K*(H/D + 1/R) < 1, which every ViT meets by far, so this is the only form.
"""

import stages.compat  # noqa: F401  isort: skip  (before timm)
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import Attention
from timm.models.vision_transformer import Block
from torch import Tensor, nn


def is_plain(block: nn.Module) -> bool:
    """True for timm's standard pre-norm block, whose arithmetic this file shortens."""
    return (
        type(block) is Block
        and type(block.attn) is Attention
        and isinstance(block.attn.q_norm, nn.Identity)
        and isinstance(block.attn.k_norm, nn.Identity)
        and getattr(block.attn, "gate", None) is None
    )


def attend(
    attn: Attention,
    query: Tensor,
    rows: Tensor,
    bias: Tensor | None = None,
    factor: Tensor | None = None,
    offset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention of the query rows of K parts, one for each or one for all.

    query:  [B, D] normalised class row, the query of every part; or [B or 1, K, D], a query for each.
    rows:   [B, R, D] normalised rows, shared by the parts.
    bias:   [B, K, R] added to the logits of a part, or None (then K = 1).
    factor: [B, K, R], a part sees row i as factor * rows[i] + offset; None for 1.
    offset: [D], the same for all rows, so it drops out of the softmax; None for 0.
    Returns [B, K, D] after the output projection, and the attention weights [B, K, H, R].
    """
    width = rows.shape[-1]
    w_query, w_key, w_value = attn.qkv.weight.view(3, attn.num_heads, attn.head_dim, width).unbind(0)
    b_query, _, b_value = (None, None, None) if attn.qkv.bias is None else attn.qkv.bias.chunk(3)

    query = query if query.dim() == 3 else query[:, None]  # [B or 1, K or 1, D]
    q = F.linear(query, w_query.flatten(0, 1), b_query) * attn.scale
    q = q.unflatten(-1, (attn.num_heads, attn.head_dim))  # [B, K, H, d]
    carried = torch.einsum("bkhd,hdw->bkhw", q, w_key).flatten(1, 2).transpose(1, 2)  # [B, D, K*H]
    logits = (rows @ carried).transpose(1, 2).unflatten(1, (-1, attn.num_heads))  # [B, K, H, R]
    if factor is not None:
        logits = logits * factor[:, :, None]
    if bias is not None:
        logits = logits + bias[:, :, None]
    weights = logits.softmax(dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))  # [B, K, H, R]

    mixing = attn.attn_drop(weights)
    if factor is not None:
        mixing = mixing * factor[:, :, None]
    clips, parts, heads, _ = mixing.shape
    mixed = mixing.flatten(1, 2).to(rows.dtype) @ rows  # [B, K*H, D]
    if offset is not None:
        mixed = mixed + offset
    mixed = mixed.view(clips * parts, heads, width).transpose(0, 1)  # [H, B*K, D]
    value = (mixed @ w_value.transpose(1, 2)).transpose(0, 1).reshape(clips, parts, -1)  # [B, K, H*d]
    if b_value is not None:
        value = value + b_value
    return attn.proj_drop(attn.proj(attn.norm(value))), weights


def finish(block: Block, class_row: Tensor, attended: Tensor) -> Tensor:
    """Residual and MLP for the class row alone: [B, 1, D] and [B, K, D] -> [B, K, D]."""
    x = class_row + block.drop_path1(block.ls1(attended))
    return x + block.drop_path2(block.ls2(block.mlp(block.norm2(x))))


def class_row(block: nn.Module, rows: Tensor, **arguments: Any) -> Tensor:
    """Row 0 of block(rows): [B, R, D] -> [B, D]. Blocks of another kind run in full, with `arguments`."""
    if not is_plain(block):
        return block(rows, **arguments)[:, 0]
    normalised = block.norm1(rows)
    attended, _ = attend(block.attn, normalised[:, 0], normalised)
    return finish(block, rows[:, :1], attended)[:, 0]
