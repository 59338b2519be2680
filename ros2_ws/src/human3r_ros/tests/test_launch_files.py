"""What the launch files start, with stand-ins for ROS 2's launch."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from human3r_ros import parent
from human3r_ros.commands import live, replay_pacer
from human3r_ros.commands.layout_check import shown_in
from human3r_ros.multi.settings import MultiSettings

from human3r.config import Settings
from ros2_ws.src.human3r_ros.tests.launch_stand_in import only, starter

PACKAGE = Path(__file__).resolve().parents[1]
LAUNCH = PACKAGE / "launch"
WITH_NODE = ("live", "replay", "robot")
ARGUMENTS = {
    # Of ros-interface section 14.
    "live": "image camera_info compressed params_file namespace tf_mode weights body_model bridge "
    "outputs rviz autostart use_sim_time log_level",
    "replay": "image camera_info bag rate loop lockstep record bridge rviz",
    "robot": "image camera_info compressed params_file tf_mode weights body_model outputs",
    "view": "image namespace bridge outputs rviz use_sim_time log_level",
}


PROCESSES = ("LifecycleNode", "Node", "ExecuteProcess")


@pytest.fixture
def launch(monkeypatch):
    start = starter(monkeypatch)
    return lambda name, **given: start(LAUNCH / f"{name}.launch.py", **given)


@pytest.fixture
def launch_without(monkeypatch):
    """Runs a launch file that must fail where packages are missing; the reason."""

    def run(name, *installed, **given):
        start = starter(monkeypatch, {"human3r_ros", *installed})
        with pytest.raises((RuntimeError, ValueError)) as failure:
            start(LAUNCH / f"{name}.launch.py", **given)
        assert [a.name for a in start.actions if a.name in PROCESSES] == [], "nothing is left over"
        return str(failure.value)

    return run


def names(actions):
    return [action.kwargs.get("executable", action.name) for action in actions]


@pytest.mark.parametrize("name", ARGUMENTS)
def test_every_documented_argument_is_there_with_a_description(launch, name):
    given = {"bag": "b"} if name == "replay" else {}
    declared, _, _ = launch(name, **given)
    assert set(ARGUMENTS[name].split()) <= set(declared)
    assert all(options["description"] for options in declared.values())


def test_live_starts_node_bridge_and_rviz_with_a_moving_camera(launch):
    declared, actions, _ = launch("live")
    assert declared["tf_mode"]["default_value"] == "odometry"
    assert names(actions)[0] == "human3r_node"
    assert {"IncludeLaunchDescription", "rviz2"} <= set(names(actions))


def test_what_is_given_wins_over_the_parameter_file_and_the_rest_is_left_to_it(launch):
    _, actions, _ = launch(
        "live", weights="w.safetensors", compressed="true", image="/cam/image", log_level="debug"
    )
    node = only(actions, executable="human3r_node")
    file, given, clock = node.kwargs["parameters"]
    assert file == str(PACKAGE / "config/human3r.yaml")
    assert given == {
        "model.weights": "w.safetensors",
        "tf.mode": "odometry",
        "input.transport": "compressed",
    }
    assert clock == {"use_sim_time": False}
    assert ("image", "/cam/image") in node.kwargs["remappings"]
    assert Settings().replace(given).input.transport == "compressed"


def changes(actions, later_s=0.0):
    """The transitions that are asked for, at once or after more than ``later_s``."""
    if later_s:
        timers = [a for a in actions if a.name == "TimerAction" and a.kwargs["period"] > later_s]
        actions = [action for timer in timers for action in timer.kwargs["actions"]]
    events = (a.kwargs["event"] for a in actions if a.name == "EmitEvent")
    return [event.kwargs["transition_id"] for event in events if event.name == "ChangeState"]


CONFIGURED = {"start_state": "configuring", "goal_state": "inactive"}
ACTIVATED = {"start_state": "activating", "goal_state": "active"}
NOT_CONFIGURED = {"start_state": "configuring", "goal_state": "unconfigured"}
NOT_ACTIVATED = {"start_state": "activating", "goal_state": "inactive"}


def test_the_node_is_configured_and_activated_once_and_then_left_to_others(launch):
    _, _, context = launch("live", rviz="false", bridge="false")
    assert changes(context.happens("OnProcessStart")) == [1]
    assert changes(context.happens(**CONFIGURED)) == [3]
    assert [a.name for a in context.happens(**ACTIVATED)] == ["LogInfo"]
    # Somebody cleans up and configures again: that is theirs, and so is a failure of it.
    for event in (CONFIGURED, NOT_CONFIGURED, ACTIVATED, NOT_ACTIVATED):
        assert context.happens(**event) == []
    _, actions, context = launch("live", autostart="false", rviz="false", bridge="false")
    assert names(actions) == ["human3r_node"]
    assert context.handlers == []


@pytest.mark.parametrize("failure", [NOT_CONFIGURED, NOT_ACTIVATED])
def test_a_node_that_cannot_start_ends_the_launch_with_an_error(launch, failure):
    _, _, context = launch("live", rviz="false", bridge="false")
    context.happens("OnProcessStart")
    with pytest.raises(RuntimeError, match="could not be activated"):
        context.happens(**failure)
    _, _, context = launch("live", rviz="false", bridge="false")
    context.happens("OnProcessStart")
    context.is_shutdown = True
    assert context.happens(**failure) == [], "after Ctrl-C that is no failure"


def test_a_node_that_was_started_again_is_activated_again(launch):
    _, actions, context = launch("live", rviz="false", respawn="true")
    node = only(actions, executable="human3r_node")
    assert node.kwargs["respawn"] is True
    assert node.kwargs["respawn_delay"] > 0
    assert changes(context.happens("OnProcessStart")) == [1]
    for _ in range(2):
        context.happens(**CONFIGURED)
        context.happens(**ACTIVATED)
        # Until the lease of the dead node is over, a request might go to it.
        assert changes(context.happens("OnProcessStart"), later_s=10.0) == [1]
    assert [a.name for a in context.happens(**NOT_CONFIGURED)] == ["LogInfo"], "others live on"
    _, actions, _ = launch("live", rviz="false")
    assert only(actions, executable="human3r_node").kwargs["respawn"] is False
    # Under a manager the first start is the manager's; it does not see the later ones.
    _, _, context = launch("robot", respawn="true")
    assert context.happens("OnProcessStart") == []
    assert changes(context.happens("OnProcessStart"), later_s=10.0) == [1]


@pytest.mark.parametrize(
    ("name", "missing", "remedy", "given"),
    [
        ("live", "rviz2", "rviz:=false", {"bridge": "false"}),
        ("live", "human3r_bridge", "bridge:=false", {"rviz": "false"}),
        ("view", "rviz2", "rviz:=false", {"bridge": "false"}),
        ("robot", "nav2_lifecycle_manager", "manager:=false", {"bridge": "false"}),
        ("replay", "ros2bag", "ros2bag", {"bag": "b", "rviz": "false", "bridge": "false"}),
    ],
)
def test_a_missing_package_is_said_before_anything_is_started(
    launch_without, monkeypatch, name, missing, remedy, given
):
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    reason = launch_without(name, **given)
    assert missing in reason
    assert remedy in reason
    assert f"apt install ros-jazzy-{missing.replace('_', '-')}" in reason


def test_wrong_files_and_lists_are_said_before_anything_is_started(launch_without):
    installed = ("rviz2", "human3r_bridge")
    assert "/no/such.yaml" in launch_without("live", *installed, params_file="/no/such.yaml")
    reason = launch_without("live", *installed, bridge_params_file="/no/bridge.yaml")
    assert "/no/bridge.yaml" in reason
    assert "[markers" in launch_without("live", *installed, outputs="[markers")


def test_no_process_of_ours_outlives_a_launch_that_is_killed(launch):
    for name, given in (("live", {}), ("robot", {}), ("replay", {"bag": "b", "lockstep": "true"})):
        _, actions, context = launch(name, **given)
        context.happens("OnProcessStart")
        context.happens(**CONFIGURED)
        started = [*actions, *context.happens(**ACTIVATED)]
        ours = [a for a in started if a.kwargs.get("package") == "human3r_ros"]
        assert ours
        for process in ours:
            assert process.kwargs["additional_env"] == {parent.LAUNCHED: "1"}


@pytest.mark.parametrize(
    ("image", "info"),
    [
        ("image", "camera_info"),
        ("/camera/image_raw", "/camera/camera_info"),
        ("camera/color/image_raw", "camera/color/camera_info"),
        ("/image", "/camera_info"),
    ],
)
def test_the_calibration_is_read_beside_the_image_unless_it_is_named(launch, image, info):
    _, actions, _ = launch("live", image=image, compressed="true")
    node = only(actions, executable="human3r_node")
    assert dict(node.kwargs["remappings"])["camera_info"] == info
    rviz = only(actions, executable="rviz2")
    assert dict(rviz.kwargs["remappings"])["/camera_info"] == f"/{info.lstrip('/')}"
    options = live.build_parser().parse_args(["--image", image, "--compressed"])
    assert live.topics(options) == (image, info), "the same rule without launch"
    _, actions, _ = launch("live", image=image, camera_info="/calibration")
    node = only(actions, executable="human3r_node")
    assert dict(node.kwargs["remappings"])["camera_info"] == "/calibration"


def test_robot_is_anchored_under_a_manager_without_bond_and_without_rviz(launch):
    declared, actions, _ = launch("robot", namespace="r1")
    assert declared["tf_mode"]["default_value"] == "anchored"
    assert declared["level_source"]["default_value"] == "tf"
    assert yaml.safe_load(declared["outputs"]["default_value"]) == ["hri", "people"]
    assert names(actions) == ["human3r_node", "lifecycle_manager", "IncludeLaunchDescription"]
    manager = only(actions, executable="lifecycle_manager")
    (parameters,) = manager.kwargs["parameters"]
    assert parameters == {
        "autostart": True,
        "node_names": ["human3r"],
        "bond_timeout": 0.0,
        "use_sim_time": False,
    }
    assert manager.kwargs["namespace"] == "r1"
    assert "lifecycle_manager" not in names(launch("robot", manager="false")[1])


def test_view_starts_no_node(launch):
    assert names(launch("view")[1]) == ["IncludeLaunchDescription", "rviz2"]
    assert names(launch("view", bridge="false")[1]) == ["rviz2"]


def when_active(context):
    """What replay starts when the node has become active."""
    context.happens("OnProcessStart")
    context.happens(**CONFIGURED)
    return context.happens(**ACTIVATED)


def ended(context, process, code):
    """What happens when a process has ended."""
    result = SimpleNamespace(returncode=code)
    return context.happens("OnProcessExit", target_action=process, result=result)


def shutdowns(actions):
    """Reasons of a regular end, now or a moment later."""
    inner = [b for a in actions for b in a.kwargs.get("actions", [a])]
    events = (a.kwargs.get("event") for a in inner)
    return [e.kwargs["reason"] for e in events if e is not None and e.name == "Shutdown"]


def test_replay_in_real_time_plays_the_inputs_paused_and_resumes_when_active(launch):
    _, actions, context = launch("replay", bag="my_bag", image="/cam/image", rate="0.5")
    player = only(actions, name="player")
    words = [getattr(word, "args", (word,))[0] for word in player.kwargs["cmd"]]
    assert words[:3] == ["ros2", "bag", "play"]
    assert {"--start-paused", "--clock", "--rate"} <= set(words)
    topics = words[words.index("--topics") + 1 :][:5]
    assert topics == ["/cam/image", "/cam/camera_info", "/depth", "/tf", "/tf_static"]
    resume = only(when_active(context), name="resume")
    assert resume.kwargs["cmd"][-2:] == [
        *("/rosbag2_player/resume", "rosbag2_interfaces/srv/Resume"),
    ]
    node = only(actions, executable="human3r_node")
    assert node.kwargs["parameters"][2] == {"use_sim_time": True}
    assert "input.policy" not in node.kwargs["parameters"][1]
    assert ended(context, resume, 0) == []
    with pytest.raises(RuntimeError, match="resuming failed with exit code 2"):
        ended(context, resume, 2)


def test_a_replay_ends_with_the_player_after_the_last_frame_and_not_well_when_it_failed(launch):
    _, actions, context = launch("replay", bag="my_bag", rviz="false")
    player, node = only(actions, name="player"), only(actions, executable="human3r_node")
    (last,) = ended(context, player, 0)
    assert last.kwargs["period"] > 0, "the last images are on their way"
    assert shutdowns([last]) == ["the bag is played"]
    with pytest.raises(RuntimeError, match="player failed with exit code 1"):
        ended(context, player, 1)
    with pytest.raises(RuntimeError, match="the node has ended"):
        ended(context, node, 0)


def test_replay_in_lock_step_takes_every_image_reliably_and_ends_with_the_bag(launch):
    _, actions, context = launch(
        *("replay",), bag="b", image="/cam/image", compressed="true", lockstep="true", patience="9"
    )
    node = only(actions, executable="human3r_node")
    given = node.kwargs["parameters"][1]
    assert given["input.policy"] == "every"
    assert given["diagnostics.max_latency_s"] == 0.0, "nothing is shed"
    read = "/cam/image/compressed"
    assert given[f"qos_overrides.{read}.subscription.reliability"] == "reliable"
    words = [str(word) for word in only(actions, name="player").kwargs["cmd"]]
    assert "--clock" not in words, "the pacer publishes it"
    profiles = Path(words[words.index("--qos-profile-overrides-path") + 1])
    offered = yaml.safe_load(profiles.read_text())
    profiles.unlink()
    assert offered[read]["reliability"] == "reliable"
    pacer = only(when_active(context), executable="human3r_replay_pacer")
    options = replay_pacer.parse(pacer.kwargs["arguments"])
    assert (str(options.bag), options.image, options.patience) == ("b", read, 9.0)
    assert options.recorder is None
    assert [options.image, *options.topics] == words[words.index("--topics") + 1 :][:5]
    assert shutdowns(ended(context, pacer, 0)) == ["the bag is played"]
    with pytest.raises(RuntimeError, match="pacer failed with exit code 1"):
        ended(context, pacer, 1)


def test_replay_finds_out_from_the_bag_whether_images_are_compressed(launch, launch_without):
    bag = str(PACKAGE.parents[2] / "examples/sample_bag")
    for compressed in ("", "true"):
        given = {"bag": bag, "image": "/camera/image_raw", "compressed": compressed}
        _, actions, _ = launch("replay", **given)
        node = only(actions, executable="human3r_node")
        assert node.kwargs["parameters"][1]["input.transport"] == "compressed"
        words = only(actions, name="player").kwargs["cmd"]
        assert words[words.index("--topics") + 1] == "/camera/image_raw/compressed"
    needed = ("ros2bag", "rosbag2_transport", "rviz2", "human3r_bridge")
    reason = launch_without("replay", *needed, bag=bag, image="/cam/image")
    assert "no images on /cam/image" in reason
    assert "/camera/image_raw/compressed" in reason
    reason = launch_without("replay", *needed, **given | {"compressed": "false"})
    assert "no images on /camera/image_raw;" in reason


def test_lock_step_does_not_loop(launch):
    with pytest.raises(ValueError, match="loop:=true with lockstep:=true"):
        launch("replay", bag="b", lockstep="true", loop="true")


def test_replay_records_every_output_in_the_time_of_the_recording(launch, monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    given = {"bag": "b", "record": "results", "namespace": "/r1", "lockstep": "true"}
    _, actions, context = launch("replay", **given)
    (recorder,) = (a for a in actions if "record" in a.kwargs.get("cmd", ()))
    words = recorder.kwargs["cmd"]
    assert {"/r1/human3r/humans", "/r1/human3r/map/points", "/tf"} <= {
        word for word in words if isinstance(word, str)
    }
    assert words[words.index("-o") + 1] == "results"
    assert "--use-sim-time" in words
    assert words[words.index("--topics") + 1] == "/r1/human3r/humans"
    # A recorder that follows /clock begins late; the pacer waits for it.
    pacer = only(when_active(context), executable="human3r_replay_pacer")
    assert replay_pacer.parse(pacer.kwargs["arguments"]).recorder == "rosbag2_recorder"
    monkeypatch.setenv("ROS_DISTRO", "humble")
    _, actions, _ = launch("replay", **given | {"use_sim_time": "false"})
    (older,) = (a for a in actions if "record" in a.kwargs.get("cmd", ()))
    words = older.kwargs["cmd"]
    assert "--topics" not in words
    assert "--use-sim-time" not in words
    files = [word[1] for word in words if isinstance(word, list)]
    assert files == ["/config/record_qos.yaml"]


def test_no_launch_file_repeats_a_default_of_the_settings():
    text = "".join(path.read_text() for path in LAUNCH.glob("*.py"))
    named = {name for name in Settings.specs() if f'"{name}"' in text}
    assert named == {
        *("model.weights", "model.body_model", "tf.mode", "level.source"),
        *("input.transport", "web.port"),
        *("input.policy", "input.queue", "diagnostics.max_latency_s"),
    }


def test_the_choices_are_those_of_the_settings(launch):
    specs = Settings.specs()
    for name in WITH_NODE:
        declared, _, _ = launch(name, **({"bag": "b"} if name == "replay" else {}))
        assert tuple(declared["tf_mode"]["choices"]) == specs["tf.mode"].choices
        assert declared["level_source"]["choices"][1:] == [*specs["level.source"].choices]


def test_multi_starts_the_fusing_node_with_what_is_given(launch):
    declared, actions, _ = launch("multi", views="left,right", world="room")
    assert all(options["description"] for options in declared.values())
    node = only(actions, executable="human3r_multi")
    assert node.kwargs["parameters"] == [{"views": "left,right", "frames.world": "room"}]


def test_multi_starts_the_fusing_node_with_cameras_of_its_own(launch):
    cameras = "left,right=/cam1/image"
    _, actions, _ = launch("multi", cameras=cameras, weights="w.safetensors")
    node = only(actions, executable="human3r_multi")
    (given,) = node.kwargs["parameters"]
    assert given == {"cameras": cameras, "model.weights": str(Path("w.safetensors").absolute())}
    assert MultiSettings().replace(given).pipeline_settings().model.weights
    assert node.kwargs["additional_env"]


def test_multi_shows_all_cameras_in_rviz_and_people_of_all_of_them(launch):
    _, actions, _ = launch("multi", cameras="left,right=/cam1/image", rviz="true", world="room")
    included = only(actions, name="IncludeLaunchDescription")
    assert ("node", "human3r_multi") in included.kwargs["launch_arguments"]
    rviz = only(actions, executable="rviz2")
    layout = Path(rviz.kwargs["arguments"][1])
    shown = {one.topic for one in shown_in(layout)}
    manager = yaml.safe_load(layout.read_text())["Visualization Manager"]
    layout.unlink()
    assert manager["Global Options"]["Fixed Frame"] == "room"
    assert {"/human3r_bridge/markers", "/human3r_multi/cameras"} <= shown
    for name in ("left", "right"):
        under = f"/human3r_multi/{name}"
        assert {f"{under}/color/image/compressed", f"{under}/scene/points"} <= shown
    assert not any("CAMERA" in topic for topic in shown)


def test_multi_shows_the_topics_of_the_nodes_whose_people_it_reads(launch):
    _, actions, _ = launch("multi", views="robot1,robot2", rviz="true", namespace="base")
    layout = Path(only(actions, executable="rviz2").kwargs["arguments"][1])
    shown = {one.topic for one in shown_in(layout)}
    layout.unlink()
    assert {"/base/human3r_multi/cameras", "/base/human3r_bridge/markers"} <= shown
    assert {"/robot1/human3r/scene/points", "/robot2/human3r/color/image/compressed"} <= shown


def test_multi_takes_a_port_for_its_page_and_starts_neither_rviz_nor_bridge_by_itself(launch):
    _, actions, _ = launch("multi", cameras="left,right", web="8080")
    (node,) = actions
    assert node.kwargs["parameters"] == [{"cameras": "left,right", "web.port": 8080}]
    assert MultiSettings().replace(node.kwargs["parameters"][0]).web.port == 8080


def test_multi_says_what_rviz_would_need(launch_without):
    reason = launch_without("multi", "human3r_bridge", views="a,b", rviz="true")
    assert "rviz2" in reason
    assert "rviz:=false" in reason
