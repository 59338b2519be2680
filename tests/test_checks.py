import numpy as np
import pytest

from human3r.checks import MAX_IMAGE_PIXELS, check_output_path, check_rgb_image
from human3r.errors import OutputError, ShapeError


@pytest.mark.parametrize(
    "image",
    [
        "picture.png",
        np.zeros((4, 4, 3), np.float32),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.broadcast_to(np.zeros(3, np.uint8), (MAX_IMAGE_PIXELS + 1, 1, 3)),
    ],
)
def test_what_is_no_rgb_image_is_refused(image):
    with pytest.raises(ShapeError) as caught:
        check_rgb_image(image)
    assert caught.value.expected
    assert caught.value.actual


def test_an_rgb_image_passes_unchanged():
    image = np.zeros((4, 5, 3), np.uint8)
    assert check_rgb_image(image) is image


def test_an_input_is_never_the_output(tmp_path):
    weights = tmp_path / "weights.pth"
    assert check_output_path(tmp_path / "out", weights) == tmp_path / "out"
    with pytest.raises(OutputError, match="also read"):
        check_output_path(tmp_path / "x" / ".." / "weights.pth", weights)
