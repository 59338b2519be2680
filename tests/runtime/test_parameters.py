"""Parameters, in the node and through the six services of another process."""

import pytest
from rclpy_lite.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterAlreadyDeclaredException,
    ParameterImmutableException,
    ParameterNotDeclaredException,
    ParameterUninitializedException,
)
from rclpy_lite.messages import get_message, get_service
from rclpy_lite.parameter import Parameter, parameter_value_to_python

Descriptor = get_message("rcl_interfaces/msg/ParameterDescriptor")
FloatingPointRange = get_message("rcl_interfaces/msg/FloatingPointRange")
IntegerRange = get_message("rcl_interfaces/msg/IntegerRange")
Result = get_message("rcl_interfaces/msg/SetParametersResult")
Event = get_message("rcl_interfaces/msg/ParameterEvent")


def interface(name):
    return get_service(f"rcl_interfaces/srv/{name}")


@pytest.fixture
def ask(make_node, spin, start_peer):
    """Calls a parameter service of the managed peer."""
    start_peer("managed.py").wait_for("ready")
    node = make_node()

    def call(kind, name, **fields):
        client = node.create_client(interface(kind), f"/managed/{name}")
        assert client.wait_for_service(10)
        future = client.call_async(interface(kind).Request(**fields))
        spin(node, future.done)
        return future.result()

    call.node = node
    return call


def test_the_six_services_answer_another_process(ask, spin):
    names = ask("ListParameters", "list_parameters").result
    assert names.names == ["camera.name", "fail", "rate", "use_sim_time"]
    assert names.prefixes == ["camera"]
    values = ask("GetParameters", "get_parameters", names=["rate", "camera.name"]).values
    assert [parameter_value_to_python(v) for v in values] == [2.5, "front"]
    types = ask("GetParameterTypes", "get_parameter_types", names=["rate", "fail"]).types
    assert list(types) == [3, 4]
    described = ask("DescribeParameters", "describe_parameters", names=["rate"]).descriptors[0]
    assert described.floating_point_range[0].to_value == 10.0
    assert described.name == "rate"

    events = []
    ask.node.create_subscription(Event, "/parameter_events", events.append, 10)
    good = Parameter("rate", value=4.0).to_parameter_msg()
    bad = Parameter("camera.name", value="rear").to_parameter_msg()
    results = ask("SetParameters", "set_parameters", parameters=[good, bad]).results
    assert [r.successful for r in results] == [True, False]
    assert "read-only" in results[1].reason
    high = Parameter("rate", value=40.0).to_parameter_msg()
    text = Parameter("fail", value="x").to_parameter_msg()
    atomic = ask("SetParametersAtomically", "set_parameters_atomically", parameters=[text, high])
    assert not atomic.result.successful
    assert "out of range" in atomic.result.reason
    values = ask("GetParameters", "get_parameters", names=["rate", "fail"]).values
    assert [parameter_value_to_python(v) for v in values] == [4.0, ""]
    spin(ask.node, lambda: any(e.node == "/managed" for e in events))
    changed = next(e for e in events if e.node == "/managed").changed_parameters
    assert changed[0].name == "rate"


def test_unknown_parameters_are_refused_through_services(ask):
    result = ask(
        "SetParameters",
        "set_parameters",
        parameters=[Parameter("nothing", value=1).to_parameter_msg()],
    ).results[0]
    assert not result.successful
    assert "nothing" in result.reason
    assert ask("GetParameters", "get_parameters", names=["nothing"]).values == []
    assert ask("DescribeParameters", "describe_parameters", names=["nothing"]).descriptors == []


def test_declaring_twice_and_using_undeclared_ones_are_errors(make_node):
    node = make_node()
    node.declare_parameter("x", 1)
    with pytest.raises(ParameterAlreadyDeclaredException):
        node.declare_parameter("x", 1)
    with pytest.raises(ParameterNotDeclaredException):
        node.get_parameter("y")
    with pytest.raises(ParameterNotDeclaredException):
        node.set_parameters([Parameter("y", value=1)])
    assert node.get_parameter_or("y", Parameter("y", value=7)).value == 7


def test_types_are_static(make_node):
    node = make_node()
    node.declare_parameter("x", 1)
    result = node.set_parameters([Parameter("x", value="text")])[0]
    assert not result.successful
    assert "Wrong parameter type" in result.reason
    node.declare_parameter("any", 1, Descriptor(dynamic_typing=True))
    assert node.set_parameters([Parameter("any", value="text")])[0].successful


def test_ranges_hold_for_defaults_overrides_and_later_values(make_node):
    node = make_node(parameter_overrides=[Parameter("far", value=9)])
    ten = Descriptor(integer_range=[IntegerRange(from_value=0, to_value=10, step=2)])
    node.declare_parameter("near", 4, ten)
    assert not node.set_parameters([Parameter("near", value=5)])[0].successful
    assert node.set_parameters([Parameter("near", value=6)])[0].successful
    with pytest.raises(InvalidParameterValueException, match="steps of 2"):
        node.declare_parameter("far", 4, ten)
    assert not node.has_parameter("far")
    unit = Descriptor(floating_point_range=[FloatingPointRange(from_value=0.0, to_value=1.0)])
    node.declare_parameter("unit", 0.5, unit)
    for bad in (float("nan"), float("inf"), -0.1):
        assert not node.set_parameters([Parameter("unit", value=bad)])[0].successful


def test_overrides_of_another_type_are_errors(make_node):
    node = make_node(parameter_overrides=[Parameter("x", value="text")])
    with pytest.raises(InvalidParameterTypeException):
        node.declare_parameter("x", 1)


def test_a_type_without_a_value_must_be_given_one(make_node):
    node = make_node(parameter_overrides=[Parameter("given", value=3)])
    node.declare_parameter("missing", Parameter.Type.INTEGER)
    with pytest.raises(ParameterUninitializedException):
        node.get_parameter("missing")
    assert node.declare_parameter("given", Parameter.Type.INTEGER).value == 3
    node.set_parameters([Parameter("missing", value=2)])
    assert node.get_parameter("missing").value == 2


def test_callbacks_may_change_refuse_and_watch(make_node):
    node = make_node()
    node.declare_parameters("", [("a", 1), ("b", 2)])
    seen = []
    node.add_pre_set_parameters_callback(lambda ps: [*ps, Parameter("b", value=5)])
    node.add_on_set_parameters_callback(
        lambda ps: Result(successful=all(p.value < 10 for p in ps), reason="too large")
    )
    node.add_post_set_parameters_callback(lambda ps: seen.extend(p.name for p in ps))
    assert node.set_parameters_atomically([Parameter("a", value=3)]).successful
    assert node.get_parameter("b").value == 5
    result = node.set_parameters_atomically([Parameter("a", value=30)])
    assert (result.successful, result.reason) == (False, "too large")
    assert node.get_parameter("a").value == 3
    assert seen == ["a", "b"]


def test_undeclaring(make_node):
    node = make_node()
    node.declare_parameter("x", 1)
    node.undeclare_parameter("x")
    assert not node.has_parameter("x")
    node.declare_parameter("fixed", 1, Descriptor(read_only=True))
    with pytest.raises(ParameterImmutableException):
        node.undeclare_parameter("fixed")


def test_prefixes_and_depth_limit_the_list(make_node):
    node = make_node()
    node.declare_parameters("", [("a", 1), ("b.c", 1), ("b.d.e", 1), ("bc", 1)])
    assert node.list_parameters([], 1).names == ["a", "bc", "use_sim_time"]
    assert node.list_parameters(["b"], 0).names == ["b.c", "b.d.e"]
    assert node.list_parameters(["b"], 1).names == ["b.c"]
    assert sorted(node.get_parameters_by_prefix("b")) == ["c", "d.e"]


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (True, "BOOL"),
        (3, "INTEGER"),
        (0.5, "DOUBLE"),
        ("x", "STRING"),
        ([b"\1", b"\2"], "BYTE_ARRAY"),
        ([True, False], "BOOL_ARRAY"),
        ([1, 2], "INTEGER_ARRAY"),
        ([0.5, 1.0], "DOUBLE_ARRAY"),
        (["a"], "STRING_ARRAY"),
        (None, "NOT_SET"),
    ],
)
def test_values_survive_the_message(value, type_):
    parameter = Parameter("p", value=value)
    assert parameter.type_ is Parameter.Type[type_]
    assert Parameter.from_parameter_msg(parameter.to_parameter_msg()) == parameter


@pytest.mark.parametrize("value", [{}, object(), [1, "a"], [1, True]])
def test_values_of_no_type_are_refused(value):
    with pytest.raises(TypeError):
        Parameter("p", value=value)


def test_qos_overrides_change_the_profile(make_node):
    from rclpy_lite.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy
    from rclpy_lite.qos_overriding_options import InvalidQosOverridesError, QoSOverridingOptions

    image = get_message("sensor_msgs/msg/Image")
    node = make_node(
        parameter_overrides=[
            Parameter("qos_overrides./image.publisher.reliability", value="best_effort"),
            Parameter("qos_overrides./image.publisher.depth", value=3),
            Parameter("qos_overrides./bad.publisher.reliability", value="perfect"),
        ]
    )
    options = QoSOverridingOptions(
        [QoSPolicyKind.RELIABILITY, QoSPolicyKind.DEPTH, QoSPolicyKind.DURABILITY]
    )
    publisher = node.create_publisher(
        image, "image", QoSProfile(depth=10), qos_overriding_options=options
    )
    assert publisher.qos_profile.depth == 3
    assert publisher.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    assert node.get_parameter("qos_overrides./image.publisher.durability").value == "volatile"
    assert node.describe_parameter("qos_overrides./image.publisher.depth").read_only
    with pytest.raises(InvalidQosOverridesError, match="expected one of"):
        node.create_publisher(image, "bad", 10, qos_overriding_options=options)
