"""Declared settings as ROS parameters, for the node and for human3r_bridge.

``python -m human3r_ros.parameters`` prints the node's parameter file ``config/human3r.yaml``.
"""

import argparse
import itertools
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.utilities import remove_ros_args

from human3r.config import Settings
from human3r.errors import ConfigError
from human3r.setting import (
    Declared,
    SettingSpec,
    Value,
    add_settings_options,
    describe_range,
    dump_yaml,
    given_values,
    warnings_without_effect,
)
from human3r.setting.declaration import AnyDeclared
from human3r_ros.names import namespace, node_name, topic_name

FOREIGN = ("use_sim_time", "qos_overrides.", "start_type_description_service")
"""Parameters of the client library; they are none of ours."""


def declare(node: Node, default: AnyDeclared, *, place: str, refusal: str) -> AnyDeclared:
    """Declare every setting; values given at start are taken, those without effect are logged.

    Args:
        node: made with ``automatically_declare_parameters_from_overrides``.
        default: what holds for all that is not given.
        place: what the node is called where settings have an effect.
        refusal: completes "cannot change ...", for settings that are not live.

    Raises:
        ConfigError: a value that cannot be used, or a name that is no setting.
    """
    given = {
        name: parameter.value
        for name, parameter in node.get_parameters_by_prefix("").items()
        if not name.startswith(FOREIGN)
    }
    # Given values were declared as they came; declaring them again adds type, bounds and help.
    checked = default.replace(given)
    for name in given:
        node.undeclare_parameter(name)
    for name, value in checked.flat().items():
        described = _descriptor(checked.spec(name), refusal)
        node.declare_parameter(name, _as_parameter(value), described, ignore_override=True)
    for text in warnings_without_effect(checked, given, [place]):
        node.get_logger().warning(text)
    return checked


def read(node: Node, default: AnyDeclared) -> AnyDeclared:
    """The node's parameters as settings, checked together.

    Raises:
        ConfigError: values that contradict each other or cannot be used.
    """
    return default.replace({name: node.get_parameter(name).value for name in default.specs()})


class ParameterGuard:
    """Answers every change of parameters, one atomic set at a time."""

    def __init__(
        self,
        node: Node,
        default: Declared,
        *,
        may_change: Callable[[], bool],
        refusal: str,
        accept: Callable[[Any], None] = lambda _: None,
    ) -> None:
        """Install the guard.

        Args:
            node: its parameters are declared.
            default: whose settings they are.
            may_change: whether settings that are not live may change now.
            refusal: completes "NAMES cannot change ...", where they may not.
            accept: gets the new settings after an accepted change.
        """
        self._node = node
        self._default = default
        self._may_change = may_change
        self._refusal = refusal
        self._accept = accept
        node.add_on_set_parameters_callback(self._on_set)

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        specs = self._default.specs()
        changes = {p.name: p.value for p in parameters if p.name in specs}
        if not changes:
            return SetParametersResult(successful=True)
        fixed = [name for name in changes if not specs[name].live]
        if fixed and not self._may_change():
            reason = f"{', '.join(fixed)} cannot change {self._refusal}"
            return SetParametersResult(successful=False, reason=reason)
        try:
            settings = read(self._node, self._default).replace(changes)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._accept(settings)
        return SetParametersResult(successful=True)


def overrides(values: Mapping[str, Any], default: Declared) -> list[Parameter]:
    """Dotted names and values as parameters for a node's start.

    Raises:
        ConfigError: unknown name, or a value that cannot be used.
    """
    ours = {name: value for name, value in values.items() if not name.startswith(FOREIGN)}
    flat = default.replace(ours).flat()
    return [
        Parameter(name, value=_as_parameter(flat.get(name, value)))
        for name, value in values.items()
    ]


def own_overrides(
    parser: argparse.ArgumentParser,
    args: Sequence[str],
    default: Declared,
    flags: Callable[[argparse.Namespace], Mapping[str, Any]] = lambda options: {},
) -> list[Parameter]:
    """``--settings`` and ``--set`` of a node's executable as parameters for its start.

    Args:
        parser: of the executable, without these options.
        args: command line with the program's name; what follows ``--ros-args`` is left to the
            client library.
        default: whose settings they are.
        flags: options of the parser's own as settings; None where not given.

    Raises:
        ConfigError: unreadable file, unknown name, or a value that cannot be used.
        SystemExit: 0 after ``--help``, 2 after an unknown argument.
    """
    add_settings_options(parser, example=default.EXAMPLE)
    try:
        own = remove_ros_args(list(args))
    # What rclpy and rclpy_lite raise for arguments after --ros-args that they do not know.
    except RuntimeError as error:
        parser.error(str(error))
    options = parser.parse_args(own[1:])
    try:
        check_remapping(args)
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    given = given_values(options, type(default), flags=flags(options), foreign=FOREIGN)
    return overrides(given, default)


def check_remapping(args: Sequence[str]) -> None:
    """Nothing, when every name behind ``-r`` may be one; the client libraries raise much later.

    Raises:
        argparse.ArgumentTypeError: says which is none.
    """
    kinds = {"__ns": namespace, "__node": node_name, "__name": node_name}
    words = list(args)
    words = words[words.index("--ros-args") + 1 :] if "--ros-args" in words else []
    for flag, rule in itertools.pairwise(words):
        source, has_target, target = rule.partition(":=")
        # Substitutions are filled in by the client library.
        if flag in ("-r", "--remap") and has_target and "{" not in target:
            kinds.get(source.rpartition(":")[2], topic_name)(target)


def render_file(default: Declared, module: str) -> str:
    """The text of a parameter file: every parameter with its default and help.

    Args:
        default: whose settings they are.
        module: what prints the file when it is run.
    """
    body = textwrap.indent(dump_yaml(default, with_help=True), "    ")
    return (
        f"# Parameters of {default.OWNER} with their defaults. Generated:\n"
        f"#   python -m {module} > config/{default.OWNER}.yaml\n"
        f"/**:\n  ros__parameters:\n{body}"
    )


def _as_parameter(value: Value) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _descriptor(spec: SettingSpec, refusal: str) -> ParameterDescriptor:
    changes = "Live." if spec.live else f"Cannot change {refusal}"
    descriptor = ParameterDescriptor(
        description=f"{spec.help} {changes}", additional_constraints=describe_range(spec)
    )
    if spec.low is not None and spec.high is not None:
        if spec.type is int:
            descriptor.integer_range = [
                IntegerRange(from_value=int(spec.low), to_value=int(spec.high), step=0)
            ]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(spec.low), to_value=float(spec.high), step=0.0)
            ]
    return descriptor


if __name__ == "__main__":
    sys.stdout.write(render_file(Settings(), "human3r_ros.parameters"))
