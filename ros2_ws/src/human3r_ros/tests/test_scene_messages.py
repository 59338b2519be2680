import numpy as np
import pytest
from human3r_ros import convert, scene_messages
from sensor_msgs_py import point_cloud2

from human3r.types import PointSet
from ros2_ws.src.human3r_ros.tests.builders import make_estimate
from ros2_ws.src.human3r_ros.tests.outlet import through_cdr


def test_depth_is_in_metres_and_nan_where_nothing_is_known():
    estimate = make_estimate()
    estimate.points_camera[0, 0, 2] = -1.0
    estimate.points_camera[0, 1, 2] = np.nan
    estimate.points_camera[0, 2, 2] = np.inf
    message = through_cdr(scene_messages.depth_image(estimate, convert.header(5, "optical")))
    depth = np.frombuffer(bytes(message.data), np.float32).reshape(12, 16)
    assert message.encoding == "32FC1"
    assert message.step == 64
    assert np.isnan(depth[0, :3]).all()
    assert np.array_equal(depth[1:], estimate.depth[1:])


def test_the_mask_is_0_or_255_at_depth_resolution():
    probability = np.zeros((12, 16), np.float32)
    probability[3:5, 2:9] = 0.1
    estimate = make_estimate(person_probability=probability)
    message = scene_messages.mask_image(estimate, 0.1, convert.header(5, "optical"))
    mask = np.frombuffer(bytes(message.data), np.uint8).reshape(12, 16)
    assert message.encoding == "mono8"
    assert np.array_equal(mask, np.where(probability > 0, 255, 0))


def points(count=7):
    rng = np.random.default_rng(1)
    return PointSet(
        rng.standard_normal((count, 3)).astype(np.float32),
        rng.integers(0, 255, (count, 3), np.uint8),
        rng.uniform(1, 9, count).astype(np.float32),
        rng.integers(0, 4, count).astype(np.uint16),
    )


@pytest.mark.parametrize(("with_labels", "step"), [(True, 24), (False, 20)])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_clouds_have_the_documented_layout(with_labels, step, count):
    given = points(count)
    message = through_cdr(
        scene_messages.cloud(given, convert.header(5, "optical"), with_labels=with_labels)
    )
    layout = [(f.name, f.offset, f.datatype, f.count) for f in message.fields]
    expected = [(n, 4 * i, 7, 1) for i, n in enumerate(("x", "y", "z", "rgb", "confidence"))]
    assert layout == expected + ([("label", 20, 4, 1)] if with_labels else [])
    assert (message.point_step, message.row_step) == (step, step * count)
    assert (message.height, message.width) == (1, count)
    assert message.is_dense
    assert not message.is_bigendian
    data = np.frombuffer(bytes(message.data), np.uint8).reshape(count, step)
    assert np.array_equal(data[:, :12].copy().view(np.float32).reshape(-1, 3), given.points)
    assert np.array_equal(data[:, 12:15], given.colors[:, ::-1])  # 0x00RRGGBB, little endian
    assert not data[:, 15].any()
    assert np.array_equal(data[:, 16:20].copy().view(np.float32).ravel(), given.confidence)
    if with_labels:
        assert np.array_equal(data[:, 20:22].copy().view(np.uint16).ravel(), given.labels)


def test_clouds_can_be_read_with_the_usual_library():
    given = points(5)
    message = scene_messages.cloud(given, convert.header(5, "optical"), with_labels=True)
    found = point_cloud2.read_points(message, field_names=("x", "y", "z", "label"))
    assert np.allclose(found["y"], given.points[:, 1])
    assert np.array_equal(found["label"], given.labels)
