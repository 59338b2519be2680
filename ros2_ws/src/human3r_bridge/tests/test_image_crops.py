from array import array

import numpy as np
import pytest
from human3r_bridge.image_crops import RecentImages, cropped
from human3r_bridge.people import confirmed_people
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ros2_ws.src.human3r_bridge.tests.bridge_people import make_array, make_human

HEADER = Header(frame_id="camera")


def image_at(stamp_ns, num_bytes=10):
    message = Image(data=array("B", bytes(num_bytes)))
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return message


def test_an_image_is_found_by_its_stamp_once():
    images = RecentImages()
    for stamp_ns in (1, 2, 3_000_000_001):
        images.put(image_at(stamp_ns))
    assert images.take(7) is None
    assert images.take(2).header.stamp.nanosec == 2
    assert images.take(1) is None
    assert images.take(3_000_000_001).header.stamp.sec == 3


def test_what_is_kept_is_bounded_in_number_and_bytes():
    few = RecentImages(max_images=3)
    for stamp_ns in range(10):
        few.put(image_at(stamp_ns))
    assert [few.take(stamp_ns) is not None for stamp_ns in (6, 7, 8, 9)] == [False] + [True] * 3
    small = RecentImages(max_bytes=100)
    for stamp_ns in range(10):
        small.put(image_at(stamp_ns, 40))
    assert [small.take(stamp_ns) is not None for stamp_ns in (7, 8, 9)] == [False, True, True]


def crop_of(corners):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (48, 64, 3), np.uint8)
    human = make_human(box_pixels=np.array(corners, np.float32))
    (person,) = confirmed_people(make_array(human))
    return image, cropped(image, person, HEADER)


def test_a_crop_is_the_part_of_the_image_that_the_box_covers():
    image, message = crop_of([10.0, 5.0, 20.5, 30.0])
    assert (message.width, message.height, message.encoding) == (12, 26, "rgb8")
    pixels = np.asarray(message.data).reshape(26, 12, 3)
    np.testing.assert_array_equal(pixels, image[5:31, 10:22])


def test_a_crop_stays_inside_the_image():
    image, message = crop_of([-20.0, -20.0, 500.0, 500.0])
    assert np.asarray(message.data).size == image.size


@pytest.mark.parametrize("corners", [[np.nan] * 4, [100, 5, 120, 30], [-30, 5, -20, 30]])
def test_nothing_to_see_is_no_crop(corners):
    assert crop_of(corners)[1] is None
