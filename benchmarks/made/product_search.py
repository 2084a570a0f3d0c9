"""The product's own search() beside FAISS alone: what everything around the index costs."""

from collections.abc import Callable

import numpy as np

from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.search import SearchConfig, search

KIND = "ivf"
ABOUT = {"checkpoint": {"path": "", "sha256": ""}}


def product_search(
    queries: np.ndarray, rows: np.ndarray, k: int, rate: Callable[[Callable, int], float]
) -> None:
    """Print queries/s of search() and of its FAISS index, by turns.

    queries, rows: float32 [Q, F] and [N, F]. rate(search of first and stop, queries at a time) -> queries/s.
    """
    count, first = len(rows), len(queries)
    features = np.concatenate([queries, rows])
    places = np.arange(len(features))
    names = places.astype(str)
    gallery = Embeddings(
        features=features,
        names=names,
        persons=places,
        cameras=places % 6,
        camera_names=(places % 6).astype(str),
        frames=tuple((f"bbox_test/{name}/0001.jpg",) for name in names),
        about=ABOUT,
    )
    print(f"search() of the product beside FAISS alone, {KIND} of {features.shape[1]} numbers each")
    for other_cameras in (False, True):
        config = SearchConfig(top=k, index=KIND, other_cameras=other_cameras)

        def ours(start: int, stop: int, config=config) -> np.ndarray:
            return search(gallery, places[start:stop], places[first:], config).matches

        ours(0, 1)  # makes the index
        (made,) = gallery.indexed.values()
        assert made.index.ntotal == count

        def alone(start: int, stop: int, index=made.index) -> np.ndarray:
            return index.search(features[start:stop], k)[1]

        words = []
        for title, size in (("one by one", 1), (f"blocks of {first}", first)):
            words.append(f"{title} {rate(ours, size):.1f}/s (FAISS {rate(alone, size):.1f}/s)")
        what = "other cameras only" if other_cameras else "all cameras"
        print(f"  {what:20} {'   '.join(words)}", flush=True)
