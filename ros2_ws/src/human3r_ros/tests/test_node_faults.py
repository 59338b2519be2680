"""Failures injected into every step of the node, which runs here on a stand-in for the network."""

import gc
import threading
from functools import partial
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import rclpy
import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from human3r_msgs.msg import FrameStatus
from human3r_ros import convert
from human3r_ros import node as node_module
from human3r_ros.inputs import Inputs
from human3r_ros.node import Human3RNode
from human3r_ros.outputs import Outputs
from human3r_ros.transforms import FrameTree
from human3r_ros.worker import Worker
from rclpy.executors import MultiThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image

from human3r.config import Settings
from human3r.errors import WeightsError
from human3r.mapping.level import LevelFrame
from human3r.pipeline import Pipeline as RealPipeline
from ros2_ws.src.human3r_ros.tests.node_process import scene, wait_until

Result = TransitionCallbackReturn


class Pipeline:
    """Stands in for the network."""

    network = SimpleNamespace(
        device=torch.device("cpu"), parameters=lambda: [], config=None, compute_dtype=torch.float32
    )
    body_model = SimpleNamespace(name="stand-in")
    level = LevelFrame(Settings())
    is_closed = False

    def close(self):
        assert not self.is_closed
        self.is_closed = True


def make_processor(skeleton, handle):
    """Stands in for the stream: takes everything, says nothing, and handles as the test wants."""
    processor = MagicMock(name="processor", session=0, handle=handle)
    processor.skeleton.return_value = skeleton
    processor.closing_context.side_effect = ValueError("nothing was published")
    return processor


@pytest.fixture(scope="module")
def ros(private_domain):
    rclpy.init(args=[])
    yield
    rclpy.try_shutdown()


@pytest.fixture
def made(ros, monkeypatch, body_model):
    """The node, its stand-ins and a reader of its diagnostics, spinning."""
    node = Human3RNode(
        overrides=[
            Parameter("tf.mode", value="odometry"),
            Parameter("frames.base", value="base_link"),
            Parameter("diagnostics.period_s", value=0.1),
        ]
    )
    seen = SimpleNamespace(node=node, pipelines=[], reports=[], handle=lambda arrival: None)

    def load(settings, tracker):
        seen.pipelines.append(Pipeline())
        return seen.pipelines[-1]

    skeleton = convert.skeleton_from_body(body_model)
    monkeypatch.setattr(node_module, "_load", load)
    monkeypatch.setattr(node_module, "_TF_WAIT_S", 0.0)
    monkeypatch.setattr(
        node, "_make_processor", lambda _: make_processor(skeleton, lambda a: seen.handle(a))
    )
    seen.other = rclpy.create_node("other")
    seen.other.create_subscription(DiagnosticArray, "/diagnostics", seen.reports.append, 10)
    executor = MultiThreadedExecutor(num_threads=3)
    for member in (node, seen.other):
        executor.add_node(member)
    spinning = threading.Thread(target=executor.spin, daemon=True)
    spinning.start()
    yield seen
    executor.shutdown()
    spinning.join(5)
    if not node.is_finalized():
        assert node.trigger_shutdown() == Result.SUCCESS
    for member in (node, seen.other):
        member.destroy_node()


def state(made):
    return made.node._view().state


def nothing_is_left(made):
    """As if the node had never been configured."""
    node = made.node
    assert state(made) == "unconfigured"
    assert all(pipeline.is_closed for pipeline in made.pipelines)
    names = [thread.name for thread in threading.enumerate()]
    assert "human3r_worker" not in names
    assert gc.get_freeze_count() == 0
    # The graph hears of it a moment later.
    wait_until(lambda: node.count_publishers("/human3r/humans") == 0, 10, "end of the publishers")
    wait_until(lambda: node.count_services("/human3r/reset") == 0, 10, "end of the services")
    for topic in ("/tf", "/image"):
        wait_until(lambda topic=topic: node.count_subscribers(topic) == 0, 10, f"end of {topic}")
    return True


def report_of(made, part, level, words=""):
    """The next report in which a part has this level."""

    def find():
        for report in reversed(made.reports):
            status = next(s for s in report.status if s.name == f"human3r: {part}")
            if status.level == level and words in status.message:
                return status
        return None

    return wait_until(find, 20, f"{part} at {level} with {words!r}")


# -- configure and activate ----------------------------------------------------------------------

STEPS = {
    "parameters": (node_module.parameters, "read"),
    "TF": (FrameTree, "__init__"),
    "worker": (node_module.Worker, "__init__"),
    "network": (node_module, "_load"),
    "publishers": (Outputs, "__init__"),
    "placement": (node_module.Placement, "__init__"),
    "processor": (Human3RNode, "_make_processor"),
    "services": (Human3RNode, "create_service"),
    "timers": (Human3RNode, "create_timer"),
}


DAMAGED = WeightsError("file is damaged; expected another")
MENDABLE = [("network", DAMAGED, Result.FAILURE), ("network", MemoryError("full"), Result.FAILURE)]
BUGS = [(step, RuntimeError("a bug of ours"), Result.ERROR) for step in STEPS]


@pytest.mark.parametrize(("step", "error", "result"), [*MENDABLE, *BUGS], ids=str)
def test_a_failure_in_any_step_of_configure_leaves_nothing_behind(
    made, monkeypatch, step, error, result
):
    def fail(*args, **kwargs):
        raise error

    owner, name = STEPS[step]
    # The instance's own stand-in would hide the class's method.
    target = made.node if owner is Human3RNode else owner
    with monkeypatch.context() as patch:
        patch.setattr(target, name, fail)
        assert made.node.trigger_configure() == result
        assert str(error) in made.node.last_failure
        assert nothing_is_left(made)
        reported = report_of(made, "inference", DiagnosticStatus.ERROR, str(error))
        assert reported.message.startswith("unconfigured: ")
    assert made.node.trigger_configure() == Result.SUCCESS
    assert made.node.last_failure == ""
    assert made.node.trigger_cleanup() == Result.SUCCESS
    assert nothing_is_left(made)


def test_services_that_were_there_before_one_failed_are_given_back(made, monkeypatch):
    create, calls = made.node.create_service, []

    def fail_at_the_third(*args, **kwargs):
        calls.append(args)
        if len(calls) == 3:
            raise RuntimeError("no room for a third")
        return create(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(made.node, "create_service", fail_at_the_third)
        assert made.node.trigger_configure() == Result.ERROR
    assert len(calls) == 3
    assert nothing_is_left(made)
    assert made.node.trigger_configure() == Result.SUCCESS


def test_what_configure_has_loaded_is_not_searched_for_garbage(made):
    assert made.node.trigger_configure() == Result.SUCCESS
    assert gc.get_freeze_count() > 0.9 * (gc.get_freeze_count() + len(gc.get_objects()))
    assert made.node.trigger_cleanup() == Result.SUCCESS
    assert nothing_is_left(made)


@pytest.mark.parametrize(
    ("owner", "name"), [(Outputs, "send"), (Inputs, "open")], ids=["skeleton", "subscribing"]
)
@pytest.mark.parametrize("error", [WeightsError("not now"), RuntimeError("a bug of ours")], ids=str)
def test_a_failure_in_activate_is_undone_and_can_be_repeated(made, monkeypatch, owner, name, error):
    def fail(*args, **kwargs):
        raise error

    assert made.node.trigger_configure() == Result.SUCCESS
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        is_ours = isinstance(error, RuntimeError)
        assert made.node.trigger_activate() == (Result.ERROR if is_ours else Result.FAILURE)
    assert made.node.last_failure.endswith(str(error))
    if is_ours:
        # Error processing gives everything back, publishers first of all.
        assert nothing_is_left(made)
        assert made.node.trigger_configure() == Result.SUCCESS
    assert state(made) == "inactive"
    assert made.node.trigger_activate() == Result.SUCCESS
    assert state(made) == "active"


# -- the running stream --------------------------------------------------------------------------


def test_a_missing_calibration_is_told_with_the_topics_of_the_graph(made):
    assert made.node.trigger_configure() == Result.SUCCESS
    assert made.node.trigger_activate() == Result.SUCCESS
    source = made.node._calibrations.source
    assert source() == "/camera_info, which has no publisher"
    publishers = [made.other.create_publisher(CameraInfo, "/front/camera_info", 1)]
    elsewhere = "/camera_info, which has no publisher (there is /front/camera_info)"
    wait_until(lambda: source() == elsewhere, 10, "the other topic")
    publishers.append(made.other.create_publisher(CameraInfo, "/camera_info", 1))
    wait_until(lambda: source() == "/camera_info (there is /front/camera_info)", 10, "its own")
    for publisher in publishers:
        made.other.destroy_publisher(publisher)


def test_a_worker_that_breaks_outside_of_a_frame_ends_the_stream(made):
    def crash(arrival):
        raise KeyError("broken worker")

    made.handle = crash
    assert made.node.trigger_configure() == Result.SUCCESS
    assert made.node.trigger_activate() == Result.SUCCESS
    send_image(made)
    wait_until(lambda: state(made) == "unconfigured", 20, "giving up")
    assert nothing_is_left(made)
    assert "broken worker" in made.node.last_failure
    report_of(made, "inference", DiagnosticStatus.ERROR, "broken worker")
    made.handle = lambda arrival: None
    assert made.node.trigger_configure() == Result.SUCCESS
    report_of(made, "inference", DiagnosticStatus.OK, "inactive")


def test_a_frame_that_never_ends_does_not_hold_deactivate_back(made, monkeypatch):
    began, may_end = threading.Event(), threading.Event()

    def hang(arrival):
        began.set()
        may_end.wait(60)

    made.handle = hang
    assert made.node.trigger_configure() == Result.SUCCESS
    assert made.node.trigger_activate() == Result.SUCCESS
    send_image(made)
    assert began.wait(20)
    processor = made.node._processor
    monkeypatch.setattr(node_module, "_IN_FLIGHT_S", 0.1)
    assert made.node.trigger_deactivate() == Result.SUCCESS
    processor.mute.assert_called()  # Its results are thrown away.
    assert not made.pipelines[-1].is_closed
    assert made.node.trigger_cleanup() == Result.SUCCESS
    assert made.node.has_running_worker()
    may_end.set()
    wait_until(lambda: not made.node.has_running_worker(), 20, "the end of the frame")
    assert nothing_is_left(made), "the memory goes when the frame comes back"


def send_image(made):
    """One image as a camera sends it; every call is a later frame."""
    images = made.other.create_publisher(Image, "/image", 5)
    wait_until(lambda: images.get_subscription_count() > 0, 20, "the image subscription")
    pixels = scene()
    header = convert.header(made.other.get_clock().now().nanoseconds, "camera")
    size = {"height": 60, "width": 80, "step": 240}
    images.publish(Image(header=header, encoding="rgb8", data=pixels.tobytes(), **size))
    made.other.destroy_publisher(images)


OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8.00 GiB of "
    "which 1.20 GiB is free."
)


@pytest.mark.parametrize(
    ("error", "frames"),
    [
        (torch.OutOfMemoryError(OUT_OF_MEMORY), 2),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), 1),
    ],
    ids=["out of memory: one retry", "context lost: at once"],
)
def test_a_device_that_fails_ends_the_stream_and_is_an_error(
    made, monkeypatch, model_files, error, frames
):
    """The real processor and network, whose step raises."""
    weights, body = map(str, model_files)
    files = {"model.weights": weights, "model.body_model": body, "model.device": "cpu"}
    network = RealPipeline.from_settings(Settings().replace(files))
    network.step = MagicMock(side_effect=error)
    network.close = MagicMock()
    monkeypatch.setattr(node_module, "_load", lambda settings, tracker: network)
    monkeypatch.setattr(
        made.node, "_make_processor", partial(Human3RNode._make_processor, made.node)
    )
    statuses = []
    made.other.create_subscription(FrameStatus, "/human3r/status", statuses.append, 10)
    assert made.node.trigger_configure() == Result.SUCCESS
    wait_until(lambda: made.node.count_subscribers("/human3r/status"), 20, "a reader")
    assert made.node.trigger_activate() == Result.SUCCESS
    for number in range(frames):
        assert state(made) == "active", "one failed frame is none too many"
        send_image(made)
        wait_until(lambda n=number: network.step.call_count > n, 20, "the frame")
    wait_until(lambda: state(made) == "unconfigured", 20, "giving up")
    network.close.assert_called_once()
    wait_until(lambda: [s for s in statuses if s.outcome == FrameStatus.FAILED], 10, "a status")
    wait_until(lambda: str(error) in made.node.last_failure, 10, "the reason")
    report_of(made, "gpu", DiagnosticStatus.ERROR, str(error))
    report_of(made, "inference", DiagnosticStatus.ERROR, f"{frames} frames failed in a row")


def test_the_end_of_the_process_does_not_wait_long_for_a_frame(made, monkeypatch):
    """Once for deactivate and once for cleanup it would be 4 s; Ctrl-C has 3 s for everything."""
    waits_s = []

    def watch(name):
        wait = getattr(Worker, name)

        def watched(worker, timeout_s):
            waits_s.append(timeout_s)
            return wait(worker, timeout_s)

        monkeypatch.setattr(Worker, name, watched)

    for name in ("pause", "close"):
        watch(name)
    began, may_end = threading.Event(), threading.Event()
    made.handle = lambda arrival: began.set() or may_end.wait(60)
    assert made.node.trigger_configure() == Result.SUCCESS
    assert made.node.trigger_activate() == Result.SUCCESS
    send_image(made)
    assert began.wait(20)
    made.node.interrupt()
    assert made.node.trigger_shutdown() == Result.SUCCESS
    assert 0 < sum(waits_s) <= 1.5
    assert made.node.has_running_worker()
    may_end.set()
    wait_until(lambda: not made.node.has_running_worker(), 20, "the end of the frame")


@pytest.mark.parametrize(("stamp_ns", "sent"), [(0, []), (5, ["humans"])])
def test_a_stream_without_an_image_ends_without_a_closing_message(
    made, monkeypatch, stamp_ns, sent
):
    assert made.node.trigger_configure() == Result.SUCCESS
    assert made.node.trigger_activate() == Result.SUCCESS
    closing = made.node._processor.closing_context
    closing.side_effect = None
    closing.return_value = SimpleNamespace(stamp_ns=stamp_ns)
    monkeypatch.setattr(convert, "empty_human_array", lambda context: context)
    seen = []
    monkeypatch.setattr(made.node._outputs, "send", lambda name, message: seen.append(name))
    assert made.node.trigger_deactivate() == Result.SUCCESS
    assert seen == sent


def test_shutdown_from_unconfigured(made):
    assert made.node.trigger_shutdown() == Result.SUCCESS
    assert made.node.is_finalized()
    assert nothing_is_left(made)


def test_shutdown_does_no_harm_twice_and_ends_the_reports(made):
    assert made.node.trigger_configure() == Result.SUCCESS
    assert made.node.trigger_activate() == Result.SUCCESS
    assert made.node.trigger_shutdown() == Result.SUCCESS
    assert made.node.is_finalized()
    assert nothing_is_left(made)
    assert made.node.on_shutdown(None) == Result.SUCCESS
    wait_until(lambda: made.other.count_publishers("/diagnostics") == 0, 10, "the end of reports")
