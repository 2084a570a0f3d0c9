"""Your own video: persons tracked in it, or the tracks of any tracker, cut into tracklets (`folder` layout).

>>> run(CutConfig(camera="door"), Path("tracks.txt"), Path("door.mp4"), Path("data/door"))

>>> track.run(TrackConfig(), [CameraConfig(name="door", files=["door.mp4"])], Path("data/door"))

No torch here.
"""

from stages.tracks.config import CutConfig
from stages.tracks.cut import run

__all__ = ["CutConfig", "run"]
