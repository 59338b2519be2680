import re

import numpy as np
import pytest

from human3r.atomic import check_output_path
from human3r.errors import OutputError, ShapeError
from human3r.types import MAX_IMAGE_PIXELS, check_rgb_image


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


RGB = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


@pytest.mark.parametrize(
    "image",
    [
        RGB.transpose(2, 0, 1),
        RGB[..., 0],
        np.dstack([RGB, RGB[..., :1]]),
        RGB / 255,
        RGB.astype(np.uint16) << 8,
        RGB[None],
    ],
    ids=["channels first", "grey", "RGBA", "from 0 to 1", "16 bits", "batch"],
)
def test_doing_what_the_message_says_makes_an_image(image):
    with pytest.raises(ShapeError) as caught:
        check_rgb_image(image)
    advice = str(caught.value).split("). ")[-1]
    (code,) = re.findall(r"(?:numpy|images?)[.\[].*?(?=,? or |; |\.$| of its)|\(\d.*(?=\.$)|"
                         r"\(image.*(?=\.$)", advice)[:1]  # fmt: skip
    values = {"image": image, "images": image, "numpy": np}
    assert check_rgb_image(eval(code, values)).shape == RGB.shape


def test_an_rgb_image_passes_unchanged():
    image = np.zeros((4, 5, 3), np.uint8)
    assert check_rgb_image(image) is image


def test_an_input_is_never_the_output(tmp_path):
    weights = tmp_path / "weights.pth"
    assert check_output_path(tmp_path / "out", weights) == tmp_path / "out"
    with pytest.raises(OutputError, match="also read"):
        check_output_path(tmp_path / "x" / ".." / "weights.pth", weights)
