"""What the launch files start, with stand-ins for ROS 2's launch."""

from pathlib import Path

import pytest
import yaml
from human3r_ros import replay_pacer

from human3r.config import Settings, iterate
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


@pytest.fixture
def launch(monkeypatch):
    start = starter(monkeypatch)
    return lambda name, **given: start(LAUNCH / f"{name}.launch.py", **given)


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
    declared, actions, _ = launch(
        "live", weights="w.safetensors", compressed="true", image="/cam/image", log_level="debug"
    )
    node = only(actions, executable="human3r_node")
    file, given, clock = node.kwargs["parameters"]
    assert file == declared["params_file"]["default_value"]
    assert given == {
        "model.weights": "w.safetensors",
        "tf.mode": "odometry",
        "input.transport": "compressed",
    }
    assert clock == {"use_sim_time": False}
    assert ("image", "/cam/image") in node.kwargs["remappings"]
    assert Settings().replace(given).input.transport == "compressed"


def test_transitions_follow_each_other_and_a_failure_stops_the_launch(launch):
    _, actions, _ = launch("live", rviz="false", bridge="false")
    handlers = actions[1:]
    assert {handler.name for handler in handlers} == {"RegisterEventHandler"}
    on = {}
    for handler in handlers:
        (event,) = handler.args
        key = (event.kwargs.get("start_state"), event.kwargs.get("goal_state"))
        on[key] = event.kwargs.get("entities") or event.kwargs["on_start"]
    change = on[None, None][0].kwargs["event"]
    assert change.kwargs["transition_id"] == 1
    assert on["configuring", "inactive"][0].kwargs["event"].kwargs["transition_id"] == 3
    for failed in (("configuring", "unconfigured"), ("activating", "inactive")):
        assert on[failed][0].kwargs["event"].name == "Shutdown"
    _, actions, _ = launch("live", autostart="false", rviz="false", bridge="false")
    assert names(actions) == ["human3r_node"]


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


def when_active(actions, context):
    """What replay starts when the node has become active."""
    for action in actions:
        if action.name == "RegisterEventHandler":
            event = action.args[0]
            if event.kwargs.get("goal_state") == "active":
                return [a for e in event.kwargs["entities"] for a in e.flat(context)]
    raise AssertionError("nothing happens when the node is active")


def test_replay_in_real_time_plays_the_inputs_paused_and_resumes_when_active(launch):
    _, actions, context = launch("replay", bag="my_bag", image="/cam/image", rate="0.5")
    player = only(actions, name="player")
    words = [getattr(word, "args", (word,))[0] for word in player.kwargs["cmd"]]
    assert words[:3] == ["ros2", "bag", "play"]
    assert {"--start-paused", "--clock", "--rate"} <= set(words)
    topics = words[words.index("--topics") + 1 :][:5]
    assert topics == ["/cam/image", "/camera_info", "/depth", "/tf", "/tf_static"]
    resume = only(when_active(actions, context), name="resume")
    assert resume.kwargs["cmd"][-2:] == [
        *("/rosbag2_player/resume", "rosbag2_interfaces/srv/Resume"),
    ]
    node = only(actions, executable="human3r_node")
    assert node.kwargs["parameters"][2] == {"use_sim_time": True}
    assert "input.policy" not in node.kwargs["parameters"][1]


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
    pacer, end = when_active(actions, context)[1:]
    options = replay_pacer.parse(pacer.kwargs["arguments"])
    assert (str(options.bag), options.image, options.patience) == ("b", read, 9.0)
    assert [options.image, *options.topics] == words[words.index("--topics") + 1 :][:5]
    assert end.args[0].kwargs["target_action"] is pacer
    assert end.args[0].kwargs["on_exit"][0].kwargs["event"].name == "Shutdown"


def test_lock_step_does_not_loop(launch):
    with pytest.raises(ValueError, match="loop:=true with lockstep:=true"):
        launch("replay", bag="b", lockstep="true", loop="true")


def test_replay_records_every_output_with_the_latched_topics_latched(launch):
    _, actions, _ = launch("replay", bag="b", record="results", namespace="/r1")
    (recorder,) = (a for a in actions if "record" in a.kwargs.get("cmd", ()))
    words = recorder.kwargs["cmd"]
    assert {"/r1/human3r/humans", "/r1/human3r/map/points", "/tf"} <= {
        word for word in words if isinstance(word, str)
    }
    assert words[words.index("-o") + 1] == "results"
    files = [word[1] for word in words if isinstance(word, list)]
    assert files == ["/config/record_qos.yaml"]


def test_no_launch_file_repeats_a_default_of_the_settings():
    text = "".join(path.read_text() for path in LAUNCH.glob("*.py"))
    named = {spec.name for spec in iterate() if f'"{spec.name}"' in text}
    assert named == {
        *("model.weights", "model.body_model", "tf.mode", "level.source"),
        "input.transport",
        *("input.policy", "input.queue", "diagnostics.max_latency_s"),
    }


def test_the_choices_are_those_of_the_settings(launch):
    specs = {spec.name: spec for spec in iterate()}
    for name in WITH_NODE:
        declared, _, _ = launch(name, **({"bag": "b"} if name == "replay" else {}))
        assert tuple(declared["tf_mode"]["choices"]) == specs["tf.mode"].choices
        assert declared["level_source"]["choices"][1:] == [*specs["level.source"].choices]
