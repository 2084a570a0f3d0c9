"""Writing an ONNX file: exported, described, checked against torch, then put in its place."""

import contextlib
import io
import json
import logging
import secrets
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cache.errors import KeyReIDError
from cache.files import explain

OPSET = 18
TOLERANCE = 1e-4  # largest difference from torch, as a share of the largest value
KEY = "keyreid"  # of the metadata, JSON
_LARGEST = 2**31 - 2**20  # bytes; a protobuf message ends at 2 GB


def import_onnx():
    """onnx and onnxruntime. Raises KeyReIDError where they are not installed."""
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise KeyReIDError(
            f"ONNX export is not installed ({error}); install it: pip install -r requirements/export.txt"
        ) from None
    return onnx, onnxruntime


def write_onnx(
    module: nn.Module,
    example: dict[str, Tensor],
    output: str,
    batch: str,
    metadata: dict[str, Any],
    path: Path,
    samples: list[dict[str, Tensor]],
) -> float:
    """Export `module`, which maps the named inputs to one tensor; the first axis of each
    is `batch`, of any length.

    samples: inputs, of several batch sizes, on which onnxruntime must agree with torch to 1e-4 of the
    largest value. Returns the largest difference found, as such a share. The file appears only if it agrees.
    """
    onnx, onnxruntime = import_onnx()
    size = sum(p.numel() * p.element_size() for p in module.state_dict().values())
    if size > _LARGEST:
        raise KeyReIDError(f"{path}: {size / 1e9:.1f} GB of weights; an ONNX file holds 2 GB")
    module.eval()
    axis = torch.export.Dim(batch, min=1, max=2**16)
    axes = {name: {0: axis} for name in example}
    with quiet():
        program = torch.onnx.export(
            module,
            kwargs=example,
            input_names=list(example),
            output_names=[output],
            dynamic_shapes=axes,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    model = program.model_proto
    del model.metadata_props[:]
    model.doc_string = ""
    described = {KEY: json.dumps(metadata | {"opset": OPSET})}
    onnx.helper.set_model_props(model, described)
    strip(model)
    onnx.checker.check_model(model, full_check=True)
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(model.SerializeToString())
        worst = compare(
            module, onnxruntime.InferenceSession(aside, providers=["CPUExecutionProvider"]), samples
        )
        if not worst <= TOLERANCE:
            raise KeyReIDError(
                f"{path}: onnxruntime differs from torch by {worst:.2g} of the largest value, more than "
                f"{TOLERANCE:g}; nothing was written"
            )
        aside.replace(path)
    except OSError as error:
        raise KeyReIDError(explain(error, path, model.ByteSize())) from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()
    return worst


@torch.inference_mode()
def compare(module: nn.Module, session, samples: list[dict[str, Tensor]]) -> float:
    """Largest difference between torch and onnxruntime, as a share of the largest value of torch."""
    shares = []
    for sample in samples:
        expected = module(**sample).numpy()
        (found,) = session.run(None, {name: value.numpy() for name, value in sample.items()})
        if found.shape != expected.shape:
            raise KeyReIDError(
                f"onnxruntime gives {found.shape}, torch {expected.shape}: the export is wrong"
            )
        shares.append(np.abs(found - expected).max() / np.abs(expected).max())
    return float(np.max(shares))  # NaN where there is one


def strip(model) -> None:
    """Remove what the exporter notes about each node: paths of this machine, stack traces."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for values in (model.graph.input, model.graph.output, model.graph.value_info, model.graph.initializer):
        for value in values:
            del value.metadata_props[:]
            value.doc_string = ""
    del model.graph.metadata_props[:]
    del model.functions[:]


@contextlib.contextmanager
def quiet():
    """The exporter reports its progress; a failure still raises."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
