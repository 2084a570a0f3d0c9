"""Pictures are whole or absent, and a place that cannot be written is said in one line."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from cache.errors import KeyReIDError
from pipeline.ablation import plot
from stages.datasets.walkers import make
from stages.datasets.walkers.config import WalkersConfig
from stages.figure_file import save_figure
from tests.limits import file_size_limit, nobody


def drawn() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().imshow(np.random.default_rng(0).random((40, 80)))
    return figure


def test_a_figure_becomes_a_png_without_empty_borders_whatever_the_name(tmp_path):
    save_figure(drawn(), tmp_path / "a.txt")
    save_figure(drawn(), tmp_path / "b.png", dpi=50)
    whole, half = (cv2.imread(str(tmp_path / name)) for name in ("a.txt", "b.png"))
    assert np.allclose(whole.shape[:2], 2 * np.array(half.shape[:2]), atol=3)
    inked = np.argwhere((whole < 250).any(axis=2))
    assert inked.min() <= 16 and (whole.shape[:2] - inked.max(axis=0) <= 16).all()  # 0.1 inch, and ticks


@pytest.mark.filterwarnings("error")
def test_names_in_a_figure_are_text_and_nothing_of_them_reaches_the_terminal(tmp_path, capfd):
    figure = drawn()
    figure.suptitle("$\\frac$ and $")
    figure.axes[0].set_title("\x1b[31m $^$ \u65e5\u672c")
    figure.axes[0].text(3, 3, "$\\nothing$\t\u202e")
    save_figure(figure, tmp_path / "a.png")
    assert capfd.readouterr() == ("", "") and (tmp_path / "a.png").stat().st_size > 1000


def test_a_full_disk_leaves_the_old_picture(tmp_path):
    path = tmp_path / "a.png"
    save_figure(drawn(), path)
    before = path.read_bytes()
    with file_size_limit(1000), pytest.raises(KeyReIDError, match=r"a\.png .*free some space") as caught:
        save_figure(drawn(), path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_folder_of_that_name_and_a_closed_folder_are_named(tmp_path, monkeypatch):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(KeyReIDError, match=r"a\.png: there is a folder of that name"):
        plot({"full": {"clean mAP": (50.0, 1.0)}}, tmp_path / "a.png", "title")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyReIDError, match=r"cannot write \."):
        save_figure(drawn(), Path())
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    tmp_path.chmod(0o555)
    with nobody(), pytest.raises(KeyReIDError, match=r"b\.png: .*that you may write to"):
        save_figure(drawn(), tmp_path / "b.png")


def test_a_full_disk_while_walkers_are_made_is_one_line_and_leaves_nothing(tmp_path):
    config = WalkersConfig(identities=4, cameras=2, tracklets=1, min_frames=2, max_frames=2)
    for size in (1000, 60_000):  # within a frame, and within the contact sheet
        with file_size_limit(size), pytest.raises(KeyReIDError, match="free some space") as caught:
            make.run(config, tmp_path / "walkers")
        assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
