"""What becomes of the bytes of an image: dropped ones are not decoded, others not copied."""

from types import SimpleNamespace

import numpy as np
import pytest
from human3r_ros import convert
from human3r_ros import processor as processor_module
from human3r_ros.inputs import Inputs
from human3r_ros.placement import Placement
from human3r_ros.processor import ProcessorContext, StreamProcessor
from human3r_ros.throttled_log import ThrottledLog
from human3r_ros.transforms import DepthImages, FrameTree
from human3r_ros.worker import Arrival, FrameQueue
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from human3r.camera.calibration import CalibrationCache
from human3r.config import Settings
from human3r.streaming import preprocess
from ros2_ws.src.human3r_ros.tests.node_process import SECOND_NS, scene
from ros2_ws.src.human3r_ros.tests.outlet import Outlet

T0 = 1000 * SECOND_NS


@pytest.fixture
def processor(pipeline):
    pipeline.reset()
    outlet = Outlet(is_listening=False)
    around = ProcessorContext(
        settings=lambda: pipeline.settings,
        now_ns=lambda: T0,
        is_simulated=lambda: False,
        throttled_log=ThrottledLog(lambda text: None),
        on_fault=lambda reason: None,
        calibrations=CalibrationCache(),
    )
    placement = Placement(FrameTree(), outlet, pipeline.level, pipeline.settings)
    return StreamProcessor(pipeline, outlet, placement, around)


class Spy:
    """Calls a function and keeps what it was given first."""

    def __init__(self, monkeypatch, owner, name):
        self._function, self.given = getattr(owner, name), []
        monkeypatch.setattr(owner, name, self)

    def __call__(self, first, *others):
        self.given.append(first)
        return self._function(first, *others)


def image_bytes(stamp_ns):
    pixels = scene()
    height, width = pixels.shape[:2]
    return serialize_message(
        Image(
            header=convert.header(stamp_ns, "cam"),
            height=height,
            width=width,
            encoding="rgb8",
            step=3 * width,
            data=np.ascontiguousarray(pixels).tobytes(),
        )
    )


def test_an_image_that_is_dropped_is_never_decoded(processor, monkeypatch):
    read = Spy(monkeypatch, processor_module, "deserialize_message")
    decoded = Spy(monkeypatch, processor_module, "rgb_from_message")
    queue = FrameQueue(1, keep_newest=True)
    processor.begin(queue, reset=True)
    sent = [image_bytes(T0 + number) for number in range(4)]
    for data in sent:
        queue.put(Arrival(data, T0))
    processor.handle(queue.take(0.0))
    assert [data is sent[-1] for data in read.given] == [True]
    assert len(decoded.given) == 1
    # Of an image that comes too late the header is read, the pixels are not.
    queue.put(Arrival(sent[0], T0))
    processor.handle(queue.take(0.0))
    assert len(read.given) == 2
    assert len(decoded.given) == 1
    counters = queue.counters()
    assert (counters.dropped_overwritten, counters.dropped_order) == (3, 1)
    assert (counters.received, counters.processed) == (5, 1)


def test_bytes_wait_as_they_came():
    made = {}

    def create_subscription(kind, topic, callback, profile, **options):
        made[topic] = (callback, options.get("raw", False))
        return SimpleNamespace(topic_name=topic)

    clock = SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=T0))
    node = SimpleNamespace(
        resolve_topic_name=lambda name: f"/{name}",
        create_subscription=create_subscription,
        get_clock=lambda: clock,
        get_publishers_info_by_topic=lambda topic: [],
    )
    queue = FrameQueue(1, keep_newest=True)
    depths = DepthImages(max_pixels=1000)
    inputs = Inputs(node, None, queue, CalibrationCache(), depths, lambda kind, text: None)
    inputs.open(Settings())
    callback, is_raw = made["/image"]
    assert is_raw
    data = image_bytes(T0)
    callback(data)
    assert queue.take(0.0).data is data


def test_the_pixels_that_arrive_are_those_that_are_resized(processor, monkeypatch):
    resized = Spy(monkeypatch, preprocess.Image, "fromarray")
    data = image_bytes(T0)
    processor.handle(Arrival(data, T0))
    assert len(resized.given) == 1
    assert np.shares_memory(resized.given[0], np.frombuffer(data, np.uint8))
