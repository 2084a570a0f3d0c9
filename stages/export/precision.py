"""An exported network in fewer bits. What goes in and comes out keeps its type.

fp16, for GPUs: weights and arithmetic in half precision. int8, for CPUs: weights of linear layers in 8 bits,
a scale for each output, what they are multiplied with in 8 bits too, scaled as it comes (onnxruntime's
dynamic quantisation, which needs no pictures to calibrate on). onnxruntime multiplies no bf16 on x86 CPUs.
What is computed from heat alone stays float32 in both: rounded, it would choose other patches.
"""

from pathlib import Path
from typing import Any, Literal

HEAT = "part_maps"  # input of the network that holds heat

Precision = Literal["fp32", "fp16", "int8"]
TOLERANCES: dict[Precision, float] = {"fp32": 1e-4, "fp16": 0.02, "int8": 0.2}  # shares of the largest value


def write_in(model: Any, precision: Precision, path: Path) -> None:
    """Write an ONNX model (`onnx.ModelProto`, float32) in a precision; its metadata is lost.

    In fewer bits `model` itself is changed.
    """
    if precision == "fp16":
        from onnxruntime.transformers.float16 import convert_float_to_float16
        from onnxruntime.transformers.onnx_model import OnnxModel

        half = OnnxModel(
            convert_float_to_float16(model, keep_io_types=True, node_block_list=_of_heat_alone(model))
        )
        half.remove_cascaded_cast_nodes()  # float32 to float16 and back, between nodes that stay float32
        half.topological_sort()
        del half.model.graph.value_info[:]  # types of before the conversion
        path.write_bytes(half.model.SerializeToString())
    elif precision == "int8":
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(
            model, path, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True,
            weight_type=QuantType.QInt8, nodes_to_exclude=[*_of_heat_alone(model), *_of_other_shape(model)],
        )  # fmt: skip
    else:
        path.write_bytes(model.SerializeToString())


def _of_heat_alone(model: Any) -> list[str]:
    """Names of the nodes whose values depend on heat and on no other input."""

    def reached(inputs: list[str]) -> set[str]:
        seen, nodes = set(inputs), set()
        for node in model.graph.node:  # a node comes after those it reads
            if node.op_type != "Shape" and seen.intersection(node.input):
                seen.update(node.output)
                nodes.add(node.name)
        return nodes

    others = [value.name for value in model.graph.input if value.name != HEAT]
    return sorted(reached([HEAT]) - reached(others))


def _of_other_shape(model: Any) -> list[str]:
    """Names of products with constants of other than two axes, which onnxruntime does not run in 8 bits."""
    axes = {constant.name: len(constant.dims) for constant in model.graph.initializer}
    return [n.name for n in model.graph.node if n.op_type == "MatMul" and axes.get(n.input[1], 2) != 2]
