"""ROS parameters, derived from ``human3r.config``: names, types, bounds, help and defaults.

``python -m human3r_ros.parameters`` prints the parameter file ``config/human3r.yaml``.
"""

import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from human3r.config import Settings, SettingSpec, describe_range, dump_yaml, iterate
from human3r.errors import ConfigError
from human3r_ros.tree_check import check_frame_names

_SPECS = {spec.name: spec for spec in iterate()}
_ID_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9]{0,7}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_FOREIGN = ("use_sim_time", "qos_overrides.", "start_type_description_service")
"""Parameters of the client library; they are none of ours."""


def declare(node: Node) -> None:
    """Declare every setting; values given at start are taken.

    Raises:
        ConfigError: a value of the wrong type or out of range, or a name that is no setting.
    """
    given = {
        name: parameter.value
        for name, parameter in node.get_parameters_by_prefix("").items()
        if not name.startswith(_FOREIGN)
    }
    # Given values were declared as they came; declaring them again adds type, bounds and help.
    checked = Settings().replace(given)
    for name in given:
        node.undeclare_parameter(name)
    for name, value in checked.flat().items():
        node.declare_parameter(name, value, _descriptor(_SPECS[name]), ignore_override=True)


def read(node: Node) -> Settings:
    """The node's parameters as settings, checked together.

    Raises:
        ConfigError: values that contradict each other or cannot be used.
    """
    values = {name: node.get_parameter(name).value for name in _SPECS}
    settings = Settings().replace(values)
    check(settings)
    return settings


def check(settings: Settings) -> None:
    """Checks beyond bounds and choices.

    Raises:
        ConfigError: a frame name, id prefix or hash that cannot be used.
    """
    check_frame_names(settings)
    prefix, sha256 = settings.people.id_prefix, settings.model.sha256
    if not _ID_PREFIX.fullmatch(prefix):
        raise ConfigError(
            f"people.id_prefix is {prefix!r}; expected a letter, then letters or digits, at most "
            "8. Ids become topic and frame names."
        )
    if sha256 and not _SHA256.fullmatch(sha256):
        raise ConfigError(
            f"model.sha256 is {sha256[:80]!r}; expected 64 hex digits or nothing. "
            "`sha256sum FILE` prints it."
        )


class ParameterGuard:
    """Answers every change of parameters, one atomic set at a time."""

    def __init__(
        self,
        node: Node,
        is_unconfigured: Callable[[], bool],
        accept: Callable[[Settings], None],
    ) -> None:
        """Install the guard.

        Args:
            node: its parameters are declared.
            is_unconfigured: whether settings that are not live may change now.
            accept: gets the new settings after an accepted change.
        """
        self._node = node
        self._is_unconfigured = is_unconfigured
        self._accept = accept
        node.add_on_set_parameters_callback(self._on_set)

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        changes = {p.name: p.value for p in parameters if p.name in _SPECS}
        if not changes:
            return SetParametersResult(successful=True)
        try:
            if not self._is_unconfigured():
                _refuse_unless_live(changes)
            current = {name: self._node.get_parameter(name).value for name in _SPECS}
            settings = Settings().replace({**current, **changes})
            check(settings)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._accept(settings)
        return SetParametersResult(successful=True)


def _refuse_unless_live(names: Iterable[str]) -> None:
    fixed = [name for name in names if not _SPECS[name].live]
    if fixed:
        raise ConfigError(
            f"{', '.join(fixed)} cannot change while the node is configured: cleanup first."
        )


def overrides(values: Mapping[str, Any]) -> list[Parameter]:
    """Dotted names and values as parameters for a node's start.

    Raises:
        ConfigError: unknown name or wrong type.
    """
    ours = {name: value for name, value in values.items() if not name.startswith(_FOREIGN)}
    flat = Settings().replace(ours).flat()
    return [Parameter(name, value=flat.get(name, value)) for name, value in values.items()]


def render_file() -> str:
    """The text of ``config/human3r.yaml``: every parameter with its default and help."""
    body = textwrap.indent(dump_yaml(Settings(), with_help=True), "    ")
    return (
        "# Parameters of human3r_node with their defaults. Generated from human3r.config:\n"
        "#   python -m human3r_ros.parameters > config/human3r.yaml\n"
        f"/**:\n  ros__parameters:\n{body}"
    )


def _descriptor(spec: SettingSpec) -> ParameterDescriptor:
    changes = "Live." if spec.live else "Changes while unconfigured only."
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
    sys.stdout.write(render_file())
