"""Makes torchvision and mmpose importable as they are installed here. Import before timm or mmpose.

torchvision's wheel is built for CUDA. Beside a CPU-only torch its operators cannot load, and the
import fails with "operator torchvision::nms does not exist", because torchvision registers a
meta kernel for them. Declaring their schemas first avoids that. Nothing here calls them.

mmpose imports xtcocotools, a fork of pycocotools whose wheels are built for numpy 1. Stage one
uses nothing of it, so pycocotools, which has wheels for numpy 2, takes its name.
"""

import functools
import importlib
import importlib.util
import sys
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


@functools.cache
def ensure_xtcocotools() -> None:
    """Let `import xtcocotools.coco` find pycocotools, where that is installed."""
    if importlib.util.find_spec("pycocotools") is None:
        return
    for module in ("", ".mask", ".coco", ".cocoeval"):
        sys.modules.setdefault(f"xtcocotools{module}", importlib.import_module(f"pycocotools{module}"))


ensure_torchvision()
ensure_xtcocotools()
