"""The figures of docs/scores.md about the released evaluator follow from the official metadata."""

from benchmarks.released_cameras import figures


def test_figures_are_those_of_the_document(real_data):
    found = figures(real_data / "mars")
    assert round(found["wrong cameras"], 2) == 0.82
    assert found["gallery tracklets taken for camera 1"] == found["gallery tracklets"] == 9330
    assert (found["of these left in"], found["same person, same camera"]) == (4660, 6066)
    assert (found["right answers"], found["of these thrown away"]) == (16761, 3952)
    assert (found["valid queries"], found["valid queries, cameras misread"]) == (1840, 1518)
    assert [round(100 * found[f"mAP, cameras {c}"], 1) for c in ("right", "misread")] == [66.6, 77.1]
    assert [round(100 * found[f"Rank-1, cameras {c}"], 1) for c in ("right", "misread")] == [92.3, 97.3]
