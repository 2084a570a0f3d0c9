"""`keyreid link` and `keyreid browse`: from a gallery to a page."""

from benchmarks.made.people import made_gallery, timed
from stages.datasets import load_dataset


def test_a_gallery_becomes_a_page(keyreid, walkers_tiny, tmp_path):
    dataset = load_dataset("walkers", walkers_tiny)
    made_gallery(tmp_path / "day.h5", walkers_tiny, timed(dataset.test_tracklets()), "walkers")
    people = tmp_path / "people"
    words = ("link", tmp_path / "day.h5", "-o", people, "--threshold", 0.9, "--neighbours", 4)
    plain = keyreid(*words, "--no-page")
    assert plain.code == 0 and "page:" not in plain.out and not (people / "site").exists()
    linked = keyreid(*words)
    assert linked.code == 0 and f"page: {people / 'site/index.html'}" in linked.out
    browsed = keyreid("browse", people, "--frames", 2, "--parts", 0, "-o", tmp_path / "elsewhere")
    assert browsed.code == 0 and "MB with its pictures" in browsed.out
    assert (tmp_path / "elsewhere/index.html").is_file()


def test_what_is_no_folder_of_identities_is_one_line(keyreid, tmp_path):
    result = keyreid("browse", tmp_path)
    assert result.code == 2 and "identities.csv: missing" in result.err and "keyreid link" in result.err
    assert "--frames" in keyreid("browse", tmp_path, "--frames", 0).err
