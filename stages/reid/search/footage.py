"""What footage a threshold was measured on, and whether a gallery is of the same."""

from typing import Any

from stages.reid.scoring.embeddings import Embeddings


def footage(gallery: Embeddings) -> dict[str, Any]:
    """Data set, data roots and cameras of a gallery; JSON values, for a calibration's entry."""
    sources = list(gallery.sources.values()) or [gallery.about | {"root": str(gallery.root)}]
    return {
        "datasets": sorted({source["dataset"] for source in sources}),
        "roots": sorted({source["root"] for source in sources}),
        "cameras": sorted(set(gallery.camera_names.tolist())),
    }


def footage_note(gallery: Embeddings, entry: dict[str, Any]) -> list[str]:
    """A warning where a gallery is of other footage than the calibration `entry`; else nothing."""
    here, there = footage(gallery), entry["footage"]
    other = [
        f"{what} {', '.join(map(str, new[:3]))}" + ", ..." * (len(new) > 3)
        for what, name in (("data set", "datasets"), ("camera", "cameras"), ("folder", "roots"))
        if (new := [value for value in here[name] if value not in there[name]])
    ]
    if not other:
        return []
    return [
        f"WARNING: the threshold was measured on other footage ({', '.join(there['datasets'])}, "
        f"{entry['persons']} persons, cameras {', '.join(there['cameras'][:6])}); this gallery has "
        f"{'; '.join(other)}. On other footage a threshold can be far off, most of its answers wrong: "
        "calibrate on labelled tracklets of these cameras, or check the answers by eye"
    ]
