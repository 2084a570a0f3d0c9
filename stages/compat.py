"""Makes `import torchvision` work beside a CPU-only build of torch. Import before timm or mmpose.

torchvision's wheel is built for CUDA. Beside a CPU-only torch its operators cannot load, and the
import fails with "operator torchvision::nms does not exist", because torchvision registers a
meta kernel for them. Declaring their schemas first mends it. Nothing here calls them.
"""

import functools
import warnings

# mmcv-lite has no compiled operators and says so on import; HRNet needs none.
warnings.filterwarnings("ignore", message="Fail to import ``MultiScaleDeformableAttention``")
# Announcements of names that the pinned versions still have; nothing a user can act on.
warnings.filterwarnings("ignore", message="torch.distributed.nn.functional.all_gather is deprecated")
warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")


@functools.cache
def ensure_torchvision() -> None:
    """Declare torchvision's operators where this torch cannot load them. Safe to call often."""
    import importlib.metadata

    import torch

    if torch.version.cuda is not None or torch.version.hip is not None:
        return
    if importlib.metadata.version("torchvision").endswith("+cpu"):
        return
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    ensure_torchvision.library = library  # the declarations live as long as this object


ensure_torchvision()
