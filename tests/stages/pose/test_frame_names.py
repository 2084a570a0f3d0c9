"""A name in another tool's file means one frame of the data set, or none."""

import pytest

from stages.pose.frame_names import FrameNames

FRAMES = ["data/cam1/a/1.jpg", "data/cam2/a/1.jpg", "data/cam2/a/2.jpg", "data/cam2/a/2.png", "data/3.JPG"]


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("data/cam1/a/1.jpg", FRAMES[0]),
        ("cam1/a/1.jpg", FRAMES[0]),
        ("./cam2\\a\\1.jpg", FRAMES[1]),
        ("/disk/data/cam2/a/2.png", FRAMES[3]),
        ("cam2/a/1", FRAMES[1]),
        ("3", FRAMES[4]),
        ("3.JPG", FRAMES[4]),
        ("1.jpg", None),  # of two cameras
        ("a/2", None),  # two pictures
        ("cam3/a/1.jpg", None),  # another camera's
        ("m2/a/1.jpg", None),  # not a whole folder's name
        ("4.jpg", None),
        ("", None),
    ],
)
def test_a_name_means_the_frame_whose_path_agrees_folder_by_folder(name, frame):
    assert FrameNames(FRAMES).find(name) == frame


def test_a_number_means_the_only_frame_of_that_number():
    names = FrameNames(["a/0007.jpg", "a/08.jpg", "b/8.jpg"])
    assert names.numbered(7) == "a/0007.jpg"
    assert names.numbered(8) is None and names.numbered(9) is None and names.numbered([7]) is None
    assert names.matching("8") == ["b/8.jpg"]
