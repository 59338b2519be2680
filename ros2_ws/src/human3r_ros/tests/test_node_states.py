"""One node process through all of its states: every transition from each, and what it reports."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from human3r_msgs.msg import HumanArray
from human3r_ros import convert
from lifecycle_msgs.msg import State, Transition
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from ros2_ws.src.human3r_ros.tests.node_process import (
    Bench,
    NodeProcess,
    intrinsics_info,
    scene,
    wait_until,
)

UNCONFIGURED, INACTIVE = State.PRIMARY_STATE_UNCONFIGURED, State.PRIMARY_STATE_INACTIVE
ACTIVE, FINALIZED = State.PRIMARY_STATE_ACTIVE, State.PRIMARY_STATE_FINALIZED
LEGAL = {
    UNCONFIGURED: {
        Transition.TRANSITION_CONFIGURE: INACTIVE,
        Transition.TRANSITION_UNCONFIGURED_SHUTDOWN: FINALIZED,
    },
    INACTIVE: {
        Transition.TRANSITION_ACTIVATE: ACTIVE,
        Transition.TRANSITION_CLEANUP: UNCONFIGURED,
        Transition.TRANSITION_INACTIVE_SHUTDOWN: FINALIZED,
    },
    ACTIVE: {
        Transition.TRANSITION_DEACTIVATE: INACTIVE,
        Transition.TRANSITION_ACTIVE_SHUTDOWN: FINALIZED,
    },
    FINALIZED: {},
}
"""State to what may be done in it, and where that leads."""
TRANSITIONS = sorted({transition for legal in LEGAL.values() for transition in legal})
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
PARTS = ["input", "inference", "people", "frames", "gpu", "outputs"]
ROUNDS = 10
SLACK_BYTES = 16 * 2**20


class Managed:
    """A node process that this test manages, and a reader of its diagnostics."""

    def __init__(self, folder, environment, files, *arguments):
        arguments = ("--no-autostart", *arguments)
        self.process = NodeProcess(folder, environment, files, *arguments, is_warm=True)
        self.bench = Bench()
        self.report = {}
        self.bench._listen("diagnostics", DiagnosticArray, "/diagnostics", 20)
        wait_until(self.state, 180, "an answer of get_state")

    def state(self):
        return self.bench.lifecycle.state()

    def change(self, transition):
        return self.bench.lifecycle.change(transition, 300.0)

    def go(self, *transitions):
        """Legal ones, one after the other."""
        for transition in transitions:
            expected = LEGAL[self.state()][transition]
            assert self.change(transition), self.process.log()
            assert self.state() == expected

    def set(self, name, value):
        parameters = [Parameter(name, value=value).to_parameter_msg()]
        request = SetParameters.Request(parameters=parameters)
        (result,) = self.bench.call(SetParameters, "set_parameters", request).results
        assert result.successful, result.reason

    def refuse_everything_else(self):
        """What is not legal now is refused and changes nothing."""
        state = self.state()
        for transition in TRANSITIONS:
            if transition not in LEGAL[state]:
                assert not self.change(transition), (state, transition)
                assert self.state() == state

    def part(self, name, level, words="", timeout_s=30.0):
        """The first report from now on in which a part has this level and says this."""
        seen = len(self.bench.received["diagnostics"])

        def find():
            for report in self.bench.received["diagnostics"][seen:]:
                self.report = {s.name.removeprefix("human3r: "): s for s in report.status}
                status = self.report[name]
                if status.level == level and words in status.message:
                    return status
            return None

        try:
            return wait_until(find, timeout_s, f"{name} at {level!r} saying {words!r}")
        except AssertionError as error:
            last = self.bench.received["diagnostics"][-1]
            words = [f"{s.level} {s.name}: {s.message}" for s in last.status]
            raise AssertionError("\n".join([str(error), *words])) from None

    def size(self):
        """Resident bytes, threads and descriptors of the process."""
        folder = Path("/proc") / str(self.process.process.pid)
        fields = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        resident = int(fields["VmRSS"].split()[0]) * 1024
        return resident, int(fields["Threads"]), len(os.listdir(folder / "fd"))

    def close(self):
        self.bench.close()
        self.process.close()


@pytest.fixture(scope="module")
def node(private_domain, model_files, tmp_path_factory):
    made = Managed(
        tmp_path_factory.mktemp("states"),
        private_domain,
        model_files,
        *("--set", "diagnostics.period_s=0.2", "--set", "model.warmup_frames=0"),
        *("--set", "input.max_age_s=0", "--set", "people.min_score=0.05"),
        *("--set", "diagnostics.min_rate_hz=0", "--set", "diagnostics.max_latency_s=0"),
        *("--set", "people.max_count=3"),
        # A camera with best effort cannot match this subscription.
        *("--set", "qos_overrides./cam/image.subscription.reliability=reliable"),
    )
    yield made
    made.close()


def values(status):
    return {pair.key: pair.value for pair in status.values}


def test_unconfigured_everything_else_is_refused_and_the_state_is_reported(node):
    node.refuse_everything_else()
    report = wait_until(lambda: node.bench.received["diagnostics"], 20, "diagnostics")[-1]
    assert [status.name for status in report.status] == [f"human3r: {part}" for part in PARTS]
    assert {status.level for status in report.status} == {OK}
    assert all("unconfigured" in status.message for status in report.status)


def test_a_failed_configure_stays_in_the_report_until_the_next_one(node, model_files):
    node.set("model.weights", "/nowhere.safetensors")
    assert not node.change(Transition.TRANSITION_CONFIGURE)
    status = node.part("inference", ERROR, "unconfigured: /nowhere.safetensors: no such file")
    assert "no such file" in values(status)["last_failure"]
    node.set("model.weights", str(model_files[0]))
    node.go(Transition.TRANSITION_CONFIGURE)
    status = node.part("inference", OK, "inactive: activate it to begin")
    assert values(status)["last_failure"] == ""
    network = values(status)["network"]
    expected = r"human3r_mini \(untrained\), \d+ M parameters on cpu in float32, body \w+"
    assert re.match(expected, network), network


def test_inactive_everything_else_is_refused(node):
    node.refuse_everything_else()
    assert "the network runs on cpu" in node.part("gpu", OK, "no GPU").message


def test_rounds_of_configure_and_cleanup_leave_nothing_behind(node):
    sizes = []
    for _ in range(ROUNDS):
        node.go(Transition.TRANSITION_CLEANUP, Transition.TRANSITION_CONFIGURE)
        sizes.append(node.size())
    # The allocator needs a few rounds to settle.
    before, after = sizes[4], sizes[-1]
    assert after[0] - before[0] < SLACK_BYTES, [size[0] // 2**20 for size in sizes]
    assert after[1:] == before[1:], [size[1:] for size in sizes]


def test_active_everything_else_is_refused(node):
    node.go(Transition.TRANSITION_ACTIVATE)
    node.refuse_everything_else()


def test_silence_is_an_error_that_names_who_should_speak(node):
    message = node.part("input", ERROR, "no image on /cam/image").message
    assert "/bench publishes it" in message


def keep_sending(node, name, level, words, **changes):
    """Send such images until a report says so."""
    end_s = time.monotonic() + 60
    while time.monotonic() < end_s:
        node.bench.infos.publish(intrinsics_info(fx=75.0))
        node.bench.send(**changes)
        try:
            return node.part(name, level, words, timeout_s=0.3)
        except AssertionError:
            continue
    raise AssertionError(f"{name} never said {words!r}:\n{node.report}\n{node.process.log()}")


def test_frames_that_flow_are_reported_with_their_figures(node):
    node.bench.connect()
    wait_until(lambda: node.bench.infos.get_subscription_count() > 0, 20, "camera_info")
    node.bench.process()
    node.bench.infos.publish(intrinsics_info(fx=75.0))
    # That the first frame had no calibration is in the reports of its activation alone.
    node.go(Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE)
    last = node.bench.process()

    def later():
        found = values(keep_sending(node, "input", OK, "OK"))
        return found if int(found["processed"]) > last.processed else None

    found = wait_until(later, 60, "a report of a later frame")
    assert found["resolution"] == "80x60"
    assert (found["encoding"], found["frame_id"]) == ("rgb8", "camera_optical")
    assert found["publishers"] == "/bench"
    assert found["qos"] == "reliable here; reliable from /bench"
    assert found["calibrated"] == "true"
    found = values(node.report["inference"])
    assert found["state"] == "active"
    assert float(found["network_p50_s"]) > 0
    assert found["last_reset"] == "activated"
    assert values(node.report["outputs"])["/human3r/humans"].startswith("1 subscribers")


def test_more_people_than_allowed_are_a_warning_and_as_many_are_none(node):
    status = keep_sending(node, "people", WARN, "people seen, people.max_count is 3")
    assert int(values(status)["ids_issued"]) >= 3
    seen = 3 + int(values(status)["left_out"])
    assert seen > 3
    assert f"{seen} people seen" in status.message
    node.set("people.max_count", seen)

    def all_of_them():
        node.bench.process()
        status = next(s for s in reports(node.bench)[-1].status if s.name == "human3r: people")
        return status if int(values(status)["tracked"]) == seen else None

    status = wait_until(all_of_them, 60, "everybody in the report")
    assert values(status)["left_out"] == "0"
    assert "people.max_count" not in status.message
    node.set("people.max_count", 3)


def test_the_doctor_says_what_is_wrong_with_the_running_node(node):
    command = [sys.executable, "-m", "human3r.cli.main", "doctor", "--graph"]
    node.part("input", ERROR, "no image on")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "Not well: input." in done.stdout
    assert "/human3r is active" in done.stdout
    assert "no image on /cam/image" in done.stdout
    assert "/human3r/humans" in done.stdout


def test_nothing_but_unusable_images_is_an_error(node):
    message = keep_sending(node, "input", ERROR, "no usable image for", encoding="16UC1").message
    assert "'16UC1' is a depth image" in message
    keep_sending(node, "input", OK, "OK")


def test_images_without_a_stamp_are_an_error(node):
    keep_sending(node, "input", ERROR, "input.stamp to receive", stamp_ns=0)
    keep_sending(node, "input", OK, "OK")


def test_a_covered_lens_is_a_warning(node):
    black = np.zeros((60, 80, 3), np.uint8)
    keep_sending(node, "input", WARN, "Lens covered?", pixels=black)


def test_two_publishers_are_an_error_that_names_both(node):
    other = node.bench.node.create_publisher(Image, "/cam/image", 1)
    try:
        message = node.part("input", ERROR, "/cam/image has 2 publishers").message
        assert "bench" in message
    finally:
        node.bench.node.destroy_publisher(other)


def test_a_camera_that_cannot_match_is_a_warning_with_the_override(node):
    profile = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    other = node.bench.node.create_publisher(Image, "/cam/image", profile)
    try:
        override = "qos_overrides./cam/image.subscription.reliability"
        node.process.wait_for_log(override, 20)
        message = node.part("input", ERROR, "nothing arrives from /bench").message
        assert override in message
    finally:
        node.bench.node.destroy_publisher(other)


def test_a_reader_that_cannot_match_is_a_warning_in_the_report(node):
    profile = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    wrong = node.bench.node.create_subscription(
        HumanArray, "/human3r/humans", lambda message: None, profile
    )
    try:
        node.part("outputs", WARN, "qos_overrides./human3r/humans.publisher.durability")
    finally:
        node.bench.node.destroy_subscription(wrong)


def test_warnings_are_limited_and_counters_are_not(node):
    before, log = node.bench.process(), node.process.log()
    late_ns = convert.ns_from_time(before.header.stamp) - 1000
    count = 6
    for number in range(count):
        node.bench.status_of(node.bench.send(scene(), late_ns - number))
    last = node.bench.received["status"][-1]
    assert last.dropped_order == before.dropped_order + count
    said = node.process.log().removeprefix(log).count("before the last accepted one")
    assert 1 <= said < count


def test_shutdown_from_inactive_ends_the_reports(node):
    node.go(Transition.TRANSITION_DEACTIVATE)
    node.part("inference", OK, "inactive")
    node.go(Transition.TRANSITION_INACTIVE_SHUTDOWN)
    wait_until(lambda: node.bench.node.count_publishers("/diagnostics") == 0, 20, "their end")
    node.refuse_everything_else()
    assert node.process.stop(signal.SIGINT) == 0


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        pytest.param(["--no-autostart"], "unconfigured", id="unconfigured", marks=pytest.mark.slow),
        pytest.param([], "configuring", id="configuring"),
    ],
)
def test_ctrl_c_ends_a_node_before_it_is_configured(
    private_domain, model_files, tmp_path, arguments, wanted
):
    bench = Bench()
    bench._listen("diagnostics", DiagnosticArray, "/diagnostics", 20)
    # Configuring takes half a second.
    arguments = ["--set", "diagnostics.period_s=0.1", *arguments]
    process = NodeProcess(tmp_path, private_domain, model_files, *arguments)
    try:
        wait_until(
            lambda: any(r.status[1].message.startswith(wanted) for r in reports(bench)), 180, wanted
        )
        assert process.stop(signal.SIGINT) == 0
    finally:
        bench.close()
        process.close()


def reports(bench):
    return bench.received["diagnostics"]
