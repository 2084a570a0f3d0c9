"""Writing an ONNX file: exported, described, checked against torch, then put in its place."""

import contextlib
import io
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cache.errors import KeyReIDError
from cache.files import writing
from stages.export.precision import TOLERANCES, Precision, write_in
from stages.extras import ONNX_EXPORT

OPSET = 18
KEY = "keyreid"  # of the metadata, JSON
Check = tuple[dict[str, Tensor], Tensor]  # inputs by name, and what torch makes of them
_CANNOT, _WAY_OUT = "ONNX cannot express it", "choose another network, or run it with torch"
_LARGEST = 2**31 - 2**20  # bytes; a protobuf message ends at 2 GB


def import_onnx():
    """onnx and onnxruntime. Raises KeyReIDError where they are not installed."""
    with ONNX_EXPORT.imported():
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    return onnx, onnxruntime


def write_onnx(
    module: nn.Module,
    name: str,
    example: dict[str, Tensor],
    output: str,
    batch: str,
    metadata: dict[str, Any],
    path: Path,
    checks: list[Check],
    precision: Precision = "fp32",
) -> float:
    """Export `module`, which maps the named inputs to one tensor; the first axis of each
    is `batch`, of any length. name: what to call it in errors.

    checks: inputs of several batch sizes, and what the code that is used without ONNX makes of them;
    onnxruntime must give the same in float32 to 1e-4 of the largest value, and in fewer bits as closely as
    `TOLERANCES` says. Returns the largest difference found, as such a share. The file appears only if it
    agrees.
    Raises KeyReIDError where the exporter cannot follow the module, and where the file disagrees.
    """
    onnx, onnxruntime = import_onnx()
    size = sum(p.numel() * p.element_size() for p in module.state_dict().values())
    if size > _LARGEST:
        raise KeyReIDError(f"{path}: {size / 1e9:.1f} GB of weights; an ONNX file holds 2 GB")
    module.eval()
    axis = torch.export.Dim(batch, min=1, max=2**16)
    axes = {name: {0: axis} for name in example}
    try:
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
    except torch.onnx.OnnxExporterError as error:
        cause = error.__cause__ or error
        reason = (str(cause).strip().splitlines() or [""])[0]
        raise KeyReIDError(f"{name}: {_CANNOT} ({type(cause).__name__}: {reason}); {_WAY_OUT}") from error
    model = program.model_proto
    del model.metadata_props[:]
    model.doc_string = ""
    described = {KEY: json.dumps(metadata | {"opset": OPSET, "precision": precision})}
    onnx.helper.set_model_props(model, described)
    strip(model)
    for value in [*model.graph.input, *model.graph.output]:
        if not value.type.tensor_type.shape.dim[0].dim_param:
            raise KeyReIDError(f"{name}: {_CANNOT} for any number of {batch}; {_WAY_OUT}")
    onnx.checker.check_model(model, full_check=True)
    with writing(path, model.ByteSize()) as aside:
        for bits in dict.fromkeys(("fp32", precision)):
            with quiet():
                write_in(model, bits, aside)
            if bits != "fp32":
                smaller = onnx.load(aside)
                onnx.helper.set_model_props(smaller, described)
                strip(smaller)
                aside.write_bytes(smaller.SerializeToString())
            worst = compare(onnxruntime.InferenceSession(aside, providers=["CPUExecutionProvider"]), checks)
            if not worst <= TOLERANCES[bits]:
                raise KeyReIDError(
                    f"{path}: {name}: onnxruntime in {bits} differs from torch by {worst:.2g} of the largest "
                    f"value, more than {TOLERANCES[bits]:g}; nothing was written"
                )
    return worst


def compare(session, checks: list[Check]) -> float:
    """Largest difference between torch and onnxruntime, as a share of the largest value of torch."""
    shares = []
    for inputs, tensor in checks:
        expected = tensor.numpy()
        (ours,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        if ours.shape != expected.shape:
            raise KeyReIDError(f"onnxruntime gives {ours.shape}, torch {expected.shape}: the export is wrong")
        shares.append(np.abs(ours - expected).max() / np.abs(expected).max())
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
