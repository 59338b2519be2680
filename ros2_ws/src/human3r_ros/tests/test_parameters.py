import re
from argparse import ArgumentParser
from pathlib import Path

import pytest
import rclpy
from human3r_ros import parameters, process
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from human3r.config import NODE, Settings
from human3r.errors import ConfigError
from human3r.setting import load_yaml

FIXED = "while the node is configured: cleanup first."
CONFIG = Path(__file__).resolve().parents[1] / "config" / "human3r.yaml"


class Owner:
    """A plain node with the guard, in a state that the test sets."""

    def __init__(self, context, given=None):
        self.is_unconfigured = True
        self.accepted = []
        self.node = Node(
            "owner",
            context=context,
            use_global_arguments=False,
            parameter_overrides=[Parameter(k, value=v) for k, v in (given or {}).items()],
            automatically_declare_parameters_from_overrides=True,
        )
        parameters.declare(self.node, Settings(), place=NODE, refusal=FIXED)
        self.guard = parameters.ParameterGuard(
            self.node,
            Settings(),
            may_change=lambda: self.is_unconfigured,
            refusal=FIXED,
            accept=self.accepted.append,
        )

    def set(self, *atomically, **values):
        named = [Parameter(k.replace("__", "."), value=v) for k, v in values.items()]
        return self.node.set_parameters_atomically(named)


@pytest.fixture(scope="module")
def context(private_domain):
    made = Context()
    rclpy.init(args=[], context=made)
    yield made
    made.try_shutdown()


@pytest.fixture
def make_owner(context):
    owners = []

    def make(given=None):
        owners.append(Owner(context, given))
        return owners[-1]

    yield make
    for owner in owners:
        owner.node.destroy_node()


def test_every_setting_is_a_parameter_with_its_default_help_and_bounds(make_owner):
    node = make_owner().node
    for spec in Settings.specs().values():
        assert node.get_parameter(spec.name).value == spec.default
        descriptor = node.describe_parameter(spec.name)
        assert descriptor.description.startswith(spec.help)
        assert not descriptor.read_only
        if spec.low is not None:
            ranges = descriptor.integer_range or descriptor.floating_point_range
            assert (ranges[0].from_value, ranges[0].to_value) == (spec.low, spec.high)
    assert parameters.read(node, Settings()) == Settings()


def test_values_given_at_start_are_taken(make_owner):
    node = make_owner({"scene.voxel_m": 0.1, "scene.max_range_m": 5, "tf.mode": "odometry"}).node
    settings = parameters.read(node, Settings())
    assert (settings.scene.voxel_m, settings.tf.mode) == (0.1, "odometry")
    assert settings.scene.max_range_m == 5.0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"scene.voxel": 0.1}, r"scene\.voxel_m"),
        ({"nonsense": 1}, "nonsense"),
        ({"scene.voxel_m": "big"}, "expected float"),
        ({"scene.voxel_m": 7.0}, "expected 0 to 1"),
        ({"tf.mode": "sideways"}, "none, odometry"),
        ({"scene.min_range_m": 4.0, "scene.max_range_m": 1.0}, "min below max"),
    ],
)
def test_an_unknown_name_or_impossible_value_fails_at_start(make_owner, given, words):
    with pytest.raises(ConfigError, match=words):
        make_owner(given)


def test_parameters_of_the_client_library_pass(make_owner):
    name = "qos_overrides./image.subscription.depth"
    node = make_owner({"use_sim_time": True, name: 3}).node
    assert node.get_parameter("use_sim_time").value is True
    assert node.get_parameter(name).value == 3


def test_fixed_parameters_change_while_unconfigured_only(make_owner):
    owner = make_owner()
    assert owner.set(model__input_size=160).successful
    owner.is_unconfigured = False
    result = owner.set(model__input_size=320)
    assert not result.successful
    assert "cleanup first" in result.reason
    assert owner.node.get_parameter("model.input_size").value == 160


def test_live_parameters_change_at_any_time_and_reach_the_stream(make_owner):
    owner = make_owner()
    owner.is_unconfigured = False
    assert owner.set(scene__voxel_m=0.2).successful
    assert owner.accepted[-1].scene.voxel_m == 0.2


def test_one_atomic_set_is_checked_together_and_taken_or_refused_as_a_whole(make_owner):
    owner = make_owner()
    assert not owner.set(scene__min_range_m=4.0, scene__max_range_m=1.0).successful
    assert owner.node.get_parameter("scene.min_range_m").value == 0.2
    assert owner.set(scene__min_range_m=4.0, scene__max_range_m=50.0).successful
    refused = owner.set(scene__voxel_m=0.5, input__queue=4)
    assert not refused.successful
    assert "input.queue" in refused.reason
    assert owner.node.get_parameter("scene.voxel_m").value == 0.03
    assert len(owner.accepted) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scene__voxel_m", float("nan")),
        ("scene__voxel_m", float("inf")),
        ("scene__voxel_m", 1.5),
        ("scene__voxel_m", "0.1"),
        ("scene__max_points", 3),
        ("scene__remove_people", "maybe"),
        ("frames__level", ""),
        ("frames__level", "/odom"),
        ("frames__base", "human3r_odom"),
        ("people__id_prefix", "3d"),
        ("people__id_prefix", "a_b"),
        ("people__id_prefix", "muchtoolong"),
        ("model__sha256", "abc"),
    ],
)
def test_values_that_cannot_be_used_are_refused_by_name(make_owner, name, value):
    owner = make_owner()
    result = owner.set(**{name: value})
    assert not result.successful
    assert result.reason
    assert not owner.accepted


def test_the_shipped_parameter_file_is_generated_from_the_settings():
    assert CONFIG.read_text() == parameters.render_file(Settings(), "human3r_ros.parameters")
    assert load_yaml(CONFIG) == Settings().flat()


def test_overrides_keep_types_and_pass_library_parameters():
    made = parameters.overrides({"scene.max_range_m": 5, "use_sim_time": True}, Settings())
    assert [(p.name, p.value) for p in made] == [("scene.max_range_m", 5.0), ("use_sim_time", True)]
    with pytest.raises(ConfigError, match="did you mean"):
        parameters.overrides({"scene.max_rang_m": 5}, Settings())


def test_the_nodes_executable_takes_settings_beside_the_arguments_of_ros(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("scene: {voxel_m: 0.1, max_points: 500}\nuse_sim_time: true\n")
    words = ["--settings", str(file), "--set", "scene.voxel_m=0.2", "--ros-args", "-r", "a:=b"]
    made = parameters.own_overrides(ArgumentParser(), ["human3r_node", *words], Settings())
    assert {p.name: p.value for p in made} == {
        **{"scene.voxel_m": 0.2, "scene.max_points": 500, "use_sim_time": True}
    }
    with pytest.raises(SystemExit):
        parameters.own_overrides(ArgumentParser(), ["human3r_node", "stray"], Settings())


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("__ns:=/a//b", "'/a//b' is no namespace; .* for example a/b"),
        ("__ns:=1a", "for example _1a"),
        ("__node:=a b", "'a b' is no name of a node; .* for example a_b"),
        ("human3r:__node:=1", "for example _1"),
        ("image:=//x", "'//x' is no topic name"),
        ("human3r:image:=/x/", "'/x/' is no topic name"),
    ],
)
@pytest.mark.parametrize("flag", ["-r", "--remap"])
def test_names_that_ros_does_not_allow_are_refused_in_remappings_too(rule, words, flag, capsys):
    with pytest.raises(SystemExit) as refused:
        process.main(["human3r_node", "--ros-args", flag, rule])
    assert refused.value.code == 2
    assert re.search(words, capsys.readouterr().err)


def test_remappings_that_ros_allows_are_taken():
    rules = ("__ns:=/fleet/r_1", "__node:=n2", "~/humans:=people", "image:=~/x", "a:=/{node}/b")
    words = [word for rule in rules for word in ("-r", rule)]
    parameters.check_remapping(["human3r_node", "--ros-args", *words, "-p", "a:=//b"])


def test_the_nodes_executable_ends_with_the_reason_when_a_setting_is_unknown(capsys):
    assert process.main(["human3r_node", "--set", "scene.voxel=1"]) == 1
    assert "did you mean scene.voxel_m" in capsys.readouterr().err


def test_parameters_without_effect_are_logged_at_start(make_owner, capfd):
    make_owner({"tf.republish_hz": 5.0, "map.voxel_m": 0.1})
    captured = capfd.readouterr()
    assert "tf.republish_hz has no effect with tf.mode none" in captured.out + captured.err
    assert "map.voxel_m" not in captured.out + captured.err
