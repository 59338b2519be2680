"""Import aliases, and the functions of other packages behind them."""

import subprocess
import sys

import numpy as np
import pytest
import rclpy_lite

rclpy_lite.install()


def run(code, *, path=()):
    """Run code in a fresh interpreter; its output."""
    import os

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_names_of_ros_2_can_be_imported():
    run(
        "import rclpy_lite; rclpy_lite.install(); rclpy_lite.install()\n"
        "import rclpy, rclpy.node, rclpy.executors, rclpy.qos, rclpy.lifecycle\n"
        "from rclpy.callback_groups import MutuallyExclusiveCallbackGroup\n"
        "from rclpy.clock import JumpThreshold, ClockType\n"
        "from rclpy.event_handler import SubscriptionEventCallbacks\n"
        "from rclpy.qos_event import PublisherEventCallbacks\n"
        "from rclpy.qos_overriding_options import QoSOverridingOptions\n"
        "from rclpy.serialization import serialize_message\n"
        "from rclpy.parameter import Parameter\n"
        "from rclpy.signals import SignalHandlerOptions\n"
        "from rclpy.exceptions import InvalidHandle\n"
        "from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult\n"
        "from sensor_msgs.msg import Image, PointCloud2\n"
        "from sensor_msgs.srv import SetCameraInfo\n"
        "from std_srvs.srv import Trigger, SetBool_Request\n"
        "from std_msgs.msg import *\n"
        "import tf2_ros, cv_bridge, tf_transformations, geometry_msgs.msg\n"
        "from tf2_ros import Buffer, TransformListener, TransformBroadcaster\n"
        "from tf2_ros.transform_listener import TransformListener as T2\n"
        "from sensor_msgs_py import point_cloud2\n"
        "import sensor_msgs_py.point_cloud2 as pc2\n"
        "assert rclpy is rclpy_lite and T2 is TransformListener and pc2 is point_cloud2\n"
        "assert rclpy.node.Node is rclpy_lite.node.Node and String(data='x').data == 'x'\n"
        "assert rclpy_lite.node.__spec__.name == 'rclpy_lite.node'\n"
    )


def test_what_does_not_exist_is_an_import_error():
    run(
        "import rclpy_lite; rclpy_lite.install()\n"
        "for name in ('rclpy.nothing', 'no_such_msgs.msg', 'sensor_msgs.action', 'tf2_ros.x'):\n"
        "    try: __import__(name)\n"
        "    except ImportError: continue\n"
        "    raise SystemExit(name)\n"
        "try: from sensor_msgs.msg import Nothing\n"
        "except ImportError as error: print(error)\n"
    )


def test_real_packages_win(tmp_path):
    (tmp_path / "rclpy").mkdir()
    (tmp_path / "rclpy" / "__init__.py").write_text("real = True\n")
    (tmp_path / "sensor_msgs").mkdir()
    (tmp_path / "sensor_msgs" / "__init__.py").write_text("")
    (tmp_path / "sensor_msgs" / "msg.py").write_text("class Image: real = True\n")
    run(
        "import rclpy_lite; rclpy_lite.install()\n"
        "import rclpy\nfrom sensor_msgs.msg import Image\n"
        "assert rclpy.real and Image.real\n"
        "try: import rclpy.node\n"
        "except ImportError: pass\n"
        "else: raise SystemExit('ours below theirs')\n",
        path=[tmp_path],
    )


def test_importing_changes_nothing_until_installed():
    run(
        "import sys, rclpy_lite, importlib.util\n"
        "assert importlib.util.find_spec('std_srvs') is None\n"
        "assert 'torch' not in sys.modules\n"
    )


@pytest.mark.parametrize(
    ("encoding", "dtype", "channels"),
    [
        ("rgb8", np.uint8, 3),
        ("bgra8", np.uint8, 4),
        ("mono8", np.uint8, 1),
        ("16UC1", np.uint16, 1),
        ("32FC1", np.float32, 1),
        ("64FC3", np.float64, 3),
    ],
)
def test_images_survive_cv_bridge(encoding, dtype, channels):
    from cv_bridge import CvBridge

    shape = (5, 7) if channels == 1 else (5, 7, channels)
    image = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    message = CvBridge().cv2_to_imgmsg(image, encoding)
    assert (message.height, message.width, message.encoding) == (5, 7, encoding)
    back = CvBridge().imgmsg_to_cv2(message)
    assert back.dtype == dtype
    assert np.array_equal(back, image)
    back[:] = 0  # The result is the caller's own.
    assert np.array_equal(CvBridge().imgmsg_to_cv2(message), image)


def test_rows_with_padding_and_foreign_byte_order_are_read():
    from cv_bridge import CvBridge
    from sensor_msgs.msg import Image

    rows = np.array([[1, 2, 99], [3, 4, 99]], ">u2")
    message = Image(height=2, width=2, encoding="16UC1", is_bigendian=1, step=6)
    message.data = rows.tobytes()
    assert CvBridge().imgmsg_to_cv2(message).tolist() == [[1, 2], [3, 4]]


def test_colours_are_converted_and_contradictions_refused():
    from cv_bridge import CvBridge, CvBridgeError
    from sensor_msgs.msg import CompressedImage, Image

    bridge = CvBridge()
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    message = bridge.cv2_to_imgmsg(red, "rgb8")
    assert bridge.imgmsg_to_cv2(message, "bgr8")[0, 0].tolist() == [0, 0, 200]
    assert bridge.imgmsg_to_cv2(message, "mono8").shape == (4, 4)
    for bad in (
        Image(height=4, width=4, encoding="rgb8", step=12, data=bytes(47)),
        Image(height=4, width=4, encoding="rgb8", step=11, data=bytes(48)),
        Image(height=1, width=1, encoding="purple8", step=3, data=bytes(3)),
    ):
        with pytest.raises(CvBridgeError):
            bridge.imgmsg_to_cv2(bad)
    with pytest.raises(CvBridgeError, match="expected uint8 with 3"):
        bridge.cv2_to_imgmsg(np.zeros((4, 4), np.uint8), "rgb8")
    packed = bridge.cv2_to_compressed_imgmsg(red[..., ::-1], "png")
    assert np.array_equal(bridge.compressed_imgmsg_to_cv2(packed, "rgb8"), red)
    with pytest.raises(CvBridgeError, match="not a readable"):
        bridge.compressed_imgmsg_to_cv2(CompressedImage(format="jpeg", data=b"nothing"))


def test_bayer_images_become_the_colour_they_were():
    from cv_bridge import CvBridge
    from sensor_msgs.msg import Image

    mosaic = np.zeros((8, 8), np.uint8)
    mosaic[0::2, 0::2] = 250  # Red, top left.
    message = Image(height=8, width=8, encoding="bayer_rggb8", step=8, data=mosaic.tobytes())
    assert CvBridge().imgmsg_to_cv2(message, "rgb8")[4, 4].tolist() == [250, 0, 0]


def test_structured_clouds_survive_point_cloud2():
    from sensor_msgs.msg import PointField
    from sensor_msgs_py import point_cloud2
    from std_msgs.msg import Header

    dtype = np.dtype([("x", "f4"), ("y", "f4"), ("z", "f4"), ("label", "u2"), ("pad", "u2")])
    points = np.zeros(10, dtype)
    points["x"] = np.arange(10)
    points["label"] = 7
    kinds = {"f4": PointField.FLOAT32, "u2": PointField.UINT16}
    fields = [
        PointField(name=n, offset=o, datatype=kinds[k], count=1)
        for n, o, k in (("x", 0, "f4"), ("y", 4, "f4"), ("z", 8, "f4"), ("label", 12, "u2"))
    ]
    own = np.dtype(
        {
            "names": ["x", "y", "z", "label"],
            "formats": ["f4", "f4", "f4", "u2"],
            "offsets": [0, 4, 8, 12],
            "itemsize": 16,
        }
    )
    cloud = point_cloud2.create_cloud(Header(), fields, points.view(own), point_step=16)
    assert (cloud.width, cloud.height, cloud.point_step, cloud.row_step) == (10, 1, 16, 160)
    back = point_cloud2.read_points(cloud)
    assert np.array_equal(back["x"], points["x"])
    assert set(back["label"]) == {7}
    assert point_cloud2.read_points(cloud, ["y"]).dtype.names == ("y",)
    xyz = point_cloud2.create_cloud_xyz32(Header(), [(1, 2, 3), (np.nan, 0, 0)])
    assert len(point_cloud2.read_points(xyz, skip_nans=True)) == 1
    assert point_cloud2.read_points_numpy(xyz).shape == (2, 3)
    xyz.width = 1000
    with pytest.raises(ValueError, match="expected at least"):
        point_cloud2.read_points(xyz)


def test_rotations_agree_with_scipy():
    import tf_transformations as tft
    from scipy.spatial.transform import Rotation, Slerp

    rng = np.random.default_rng(0)
    for rotation in Rotation.random(50, random_state=1):
        q = rotation.as_quat()
        matrix = tft.quaternion_matrix(q)
        assert np.allclose(matrix[:3, :3], rotation.as_matrix())
        assert np.isclose(abs(tft.quaternion_from_matrix(matrix) @ q), 1.0)
        assert np.allclose(tft.euler_from_quaternion(q), rotation.as_euler("xyz"))
        angles = rotation.as_euler("xyz")
        assert np.isclose(abs(tft.quaternion_from_euler(*angles) @ q), 1.0)
        other = Rotation.random(random_state=int(rng.integers(1 << 30)))
        product = tft.quaternion_multiply(q, other.as_quat())
        assert np.isclose(abs(product @ (rotation * other).as_quat()), 1.0)
        between = Slerp([0, 1], Rotation.concatenate([rotation, other]))(0.3).as_quat()
        assert np.isclose(abs(tft.quaternion_slerp(q, other.as_quat(), 0.3) @ between), 1.0)
