"""The contact sheet: persons by cameras."""

from pathlib import Path

import cv2
import numpy as np

from cache.files import write_whole
from stages.datasets.walkers.plan import Plan

HEIGHT, WIDTH, HEAD, SIDE, GAP = 256, 128, 22, 46, 2
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_sheet(plan: Plan, root: Path, persons: int = 8) -> Path:
    """Draw one frame of each tracklet of a few persons, half of them look-alikes; returns the PNG's path."""
    paired = [p for a, b, _ in plan.pairs for p in (a, b)]
    single = sorted({t.person for t in plan.tracklets() if t.person > 0} - set(paired))
    shown = paired[: persons // 2] + single[: persons - min(len(paired), persons // 2)]
    parts = {p: part for a, b, part in plan.pairs for p in (a, b)}
    rows, cameras = [], sorted({t.camera for t in plan.tracklets()})
    columns = max(sum(t.person == p for t in plan.tracklets()) for p in shown)
    head = np.full((HEAD, SIDE + columns * (WIDTH + GAP), 3), 255, np.uint8)
    for index, camera in enumerate(cameras):
        left = SIDE + index * (columns // len(cameras)) * (WIDTH + GAP)
        cv2.putText(head, f"camera {camera}", (left + 4, 16), FONT, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    rows.append(head)
    for person in shown:
        own = sorted((t for t in plan.tracklets() if t.person == person), key=lambda t: (t.camera, t.number))
        row = np.full((HEIGHT + GAP, head.shape[1], 3), 255, np.uint8)
        cv2.putText(row, str(person), (6, 24), FONT, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
        if person in parts:
            cv2.putText(row, "unlike:", (2, 46), FONT, 0.36, (0, 0, 160), 1, cv2.LINE_AA)
            cv2.putText(row, parts[person], (2, 60), FONT, 0.4, (0, 0, 160), 1, cv2.LINE_AA)
        for index, tracklet in enumerate(own):
            frame = cv2.imread(str(root / tracklet.frame_paths()[tracklet.frames // 2]))
            left = SIDE + index * (WIDTH + GAP)
            row[:HEIGHT, left : left + WIDTH] = frame
        rows.append(row)
    path = root / "contact-sheet.png"
    write_whole(path, cv2.imencode(".png", np.concatenate(rows))[1].tobytes())
    return path
