"""One's own video: tracks of any tracker (MOTChallenge format) cut into tracklets in the `folder` layout.

>>> run(CutConfig(camera="door"), Path("tracks.txt"), Path("door.mp4"), Path("data/door"))

No torch here.
"""

from stages.tracks.config import CutConfig
from stages.tracks.cut import run

__all__ = ["CutConfig", "run"]
