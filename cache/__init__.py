"""The pose cache: keypoint heatmaps of every frame in HDF5 shards. Knows nothing of torch or mmpose."""

from cache.reader import PoseCache, Poses

__all__ = ["PoseCache", "Poses"]
