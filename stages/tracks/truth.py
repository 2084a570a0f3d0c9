"""Scores of tracks against ground truth: HOTA, IDF1 and CLEAR as the library `trackers` computes them."""

import tempfile
from pathlib import Path

from cache.border import reading
from cache.text_files import load_text
from stages.extras import TRACKING


def score_tracks(truth: Path, tracks: Path, sparse: bool = False) -> dict[str, float]:
    """HOTA, IDF1, MOTA, recall and precision at IoU 0.5, in [0, 1], and identity switches.

    truth, tracks: MOTChallenge files; rows of the truth that are flagged 0 or of another class than 1 do not
    count. sparse: judge only frames in which the truth has a row, as not every frame was labelled.
    Raises KeyReIDError where the library is missing or a file is not of that format.
    """
    with TRACKING.imported():
        from trackers.eval import evaluate_mot_sequence
    what = f"to be compared with {tracks}"
    with reading(truth, what, "expected MOTChallenge files"), tempfile.TemporaryDirectory() as folder:
        labelled, tracked = (load_text(path).splitlines(True) for path in (truth, tracks))
        judged = tracks
        if sparse:
            judged = Path(folder) / "tracks.txt"
            frames = {_frame(line) for line in labelled if line.strip()}
            judged.write_text("".join(line for line in tracked if _frame(line) in frames))
        scores = evaluate_mot_sequence(truth, judged, metrics=["CLEAR", "HOTA", "Identity"])
    return {
        "HOTA": float(scores.HOTA.HOTA),
        "IDF1": float(scores.Identity.IDF1),
        "MOTA": float(scores.CLEAR.MOTA),
        "recall": float(scores.CLEAR.CLR_Re),
        "precision": float(scores.CLEAR.CLR_Pr),
        "switches": int(scores.CLEAR.IDSW),
    }


def _frame(line: str) -> str:
    return line.split(",")[0].split()[0]
