"""Whatever a frame's file holds: doctor and both stages agree, and say why in one line."""

import numpy as np
import pytest
from hypothesis import strategies as st

from stages.datasets.checkup import check_frame as doctor
from stages.frame_file import MAX_PIXELS, check_header, decode
from stages.pose.sources import check_frame as stage_one
from tests.fuzzing import EXAMPLES, damaged, fuzz
from tests.stages.test_frame_file import encoded

PICTURE = np.random.default_rng(0).integers(0, 255, (48, 24, 3), np.uint8).repeat(2, 0).repeat(2, 1)


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP"])
def test_damaged_pictures_have_one_verdict(tmp_path, kind, examples):
    path = tmp_path / "a.jpg"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        problem, (*_, reason, warning) = doctor(tmp_path, "a.jpg", None), stage_one(path)
        assert (problem.detail if problem else "") == reason + warning and "\n" not in reason + warning
        assert not (reason and warning)
        for size in (None, (32, 16)):
            try:
                image = decode(content, size)
            except ValueError:
                assert reason
            else:
                assert not reason and image.dtype == np.uint8 and image.ndim == 3
                assert size is None or image.shape == (*size, 3)

    fuzz(examples, damaged(encoded(PICTURE, kind)), check)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_no_header_is_a_traceback(examples):
    starts = st.sampled_from(
        [b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF\x10\0\0\0WEBPVP8X", b"RIFF\0\0\0\0WEBP"]
    )

    def check(content) -> None:
        try:
            height, width = check_header(content[0] + content[1])
        except ValueError as error:
            assert str(error)
        else:
            assert 0 < height * width <= MAX_PIXELS

    fuzz(examples, st.tuples(starts, st.binary(max_size=80)), check)
