"""The bridge's parameters, each declared once: default, unit, bounds and help.

``python -m human3r_bridge.parameters`` prints the parameter file ``config/human3r_bridge.yaml``.
"""

import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from human3r.config import FramesSettings, SettingSpec, Value, describe_range
from human3r.errors import ConfigError

OUTPUTS = ("markers", "mesh_markers", "people", "vision", "vision2d", "poses", "hri")
"""Every format there is, as named in the parameter ``outputs``."""

_DEFAULT_OUTPUTS = ["markers"]
_OUTPUTS_HELP = "Formats to publish: " + ", ".join(OUTPUTS) + "."
_FOREIGN = ("use_sim_time", "qos_overrides.", "start_type_description_service")
"""Parameters of the client library; they are none of ours."""
_MAX_FRAME_NAME = 128


@dataclass(frozen=True)
class BridgeSettings:
    """All parameters' values; dots of the parameters' names are underscores here."""

    outputs: tuple[str, ...]
    frames_level: str
    people_frame: str
    markers_mesh_rate_hz: float
    hri_faces: bool
    hri_linger_s: float
    hri_cropped: bool
    input_transport: str


def _spec(
    name: str,
    default: Value,
    help: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> SettingSpec:
    return SettingSpec(name, default, help, unit, low, high, choices, live=False, ros_only=True)


_SPECS = {
    spec.name: spec
    for spec in (
        _spec(
            "frames.level",
            FramesSettings().level,
            "The node's own frames.level: what HumanArray.camera_pose is in.",
        ),
        _spec(
            "people.frame",
            "",
            "Frame of the people output; empty: frames.level. Another one is looked up in TF.",
        ),
        _spec(
            "markers.mesh_rate_hz",
            2.0,
            "Mesh markers per second at most.",
            unit="Hz",
            low=0.1,
            high=30.0,
        ),
        _spec(
            "hri.faces",
            True,
            "Also publish faces and match each to its body; false leaves faces to others.",
        ),
        _spec(
            "hri.linger_s",
            2.0,
            "The topics of somebody who has left are removed after this time.",
            unit="s",
            low=0.0,
            high=60.0,
        ),
        _spec(
            "hri.cropped",
            False,
            "Also publish each body's part of the image. This sends images of people.",
        ),
        _spec(
            "input.transport",
            "raw",
            "Kind of image topic that hri.cropped reads: image, or image/compressed.",
            choices=("raw", "compressed"),
        ),
    )
}


def declare(node: Node) -> BridgeSettings:
    """Declare every parameter; values given at start are taken, and cannot change later.

    Raises:
        ConfigError: an unknown name, a wrong type, or a value that cannot be used.
    """
    given = {
        name: parameter.value
        for name, parameter in node.get_parameters_by_prefix("").items()
        if not name.startswith(_FOREIGN)
    }
    settings = settings_from(given)
    # Given values were declared as they came; declaring them again adds type, bounds and help.
    for name in given:
        node.undeclare_parameter(name)
    node.declare_parameter(
        "outputs",
        list(settings.outputs),
        ParameterDescriptor(description=_OUTPUTS_HELP),
        ignore_override=True,
    )
    for name, spec in _SPECS.items():
        node.declare_parameter(
            name, getattr(settings, _field(name)), _descriptor(spec), ignore_override=True
        )
    node.add_on_set_parameters_callback(_refuse_changes)
    return settings


def settings_from(given: Mapping[str, Any]) -> BridgeSettings:
    """Defaults with these dotted names changed, checked together.

    Raises:
        ConfigError: an unknown name, a wrong type, or a value that cannot be used.
    """
    known = ("outputs", *_SPECS)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
            raise ConfigError(f"{name} is no parameter of human3r_bridge; {hint}")
    values = {name: spec.coerce(given.get(name, spec.default)) for name, spec in _SPECS.items()}
    for name, spec in _SPECS.items():
        spec.check(values[name])
    _check_frame("frames.level", values["frames.level"])
    values["people.frame"] = values["people.frame"] or values["frames.level"]
    _check_frame("people.frame", values["people.frame"])
    outputs = _check_outputs(given.get("outputs", _DEFAULT_OUTPUTS))
    return BridgeSettings(
        outputs=outputs, **{_field(name): value for name, value in values.items()}
    )


def render_file() -> str:
    """The text of ``config/human3r_bridge.yaml``: every parameter with its default and help."""
    lines = [
        "# Parameters of human3r_bridge with their defaults. Generated:",
        "#   python -m human3r_bridge.parameters > config/human3r_bridge.yaml",
        "/**:",
        "  ros__parameters:",
        f"    # {_OUTPUTS_HELP}",
        f"    outputs: [{', '.join(_DEFAULT_OUTPUTS)}]",
    ]
    section = ""
    for name, spec in _SPECS.items():
        head, _, key = name.partition(".")
        if head != section:
            section = head
            lines.append(f"    {section}:")
        lines.append(f"      # {spec.help} {describe_range(spec)}".rstrip())
        lines.append(f"      {key}: {_yaml(spec.default)}")
    return "\n".join(lines) + "\n"


def describe() -> str:
    """A line for each parameter: name, default, help."""
    rows = [("outputs", f"[{', '.join(_DEFAULT_OUTPUTS)}]", _OUTPUTS_HELP)]
    for name, spec in _SPECS.items():
        rows.append((name, _yaml(spec.default), f"{spec.help} {describe_range(spec)}".rstrip()))
    return "\n".join(f"  {name} ({default}): {text}" for name, default, text in rows)


def _field(name: str) -> str:
    return name.replace(".", "_")


def _yaml(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value or "''" if isinstance(value, str) else str(value)


def _check_outputs(outputs: Any) -> tuple[str, ...]:
    is_list = isinstance(outputs, (list, tuple)) and all(isinstance(o, str) for o in outputs)
    unknown = [name for name in outputs if name not in OUTPUTS] if is_list else []
    if not is_list or not outputs or unknown:
        raise ConfigError(
            f"outputs is {str(outputs)[:200]!r}; expected a list of at least one of "
            f"{', '.join(OUTPUTS)}. Correct the parameter."
        )
    return tuple(name for name in OUTPUTS if name in outputs)


def _check_frame(name: str, value: str) -> None:
    is_plain = all(c.isprintable() and not c.isspace() for c in value)
    if not value or value.startswith("/") or len(value) > _MAX_FRAME_NAME or not is_plain:
        raise ConfigError(
            f"{name} is {value[:40]!r}; expected 1 to {_MAX_FRAME_NAME} printable characters "
            "without blanks and without leading slash. Choose another frame."
        )


def _descriptor(spec: SettingSpec) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=spec.help, additional_constraints=describe_range(spec)
    )
    if spec.low is not None and spec.high is not None:
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=spec.low, to_value=spec.high, step=0.0)
        ]
    return descriptor


def _refuse_changes(parameters: list[Parameter]) -> SetParametersResult:
    ours = [p.name for p in parameters if p.name == "outputs" or p.name in _SPECS]
    if not ours:
        return SetParametersResult(successful=True)
    return SetParametersResult(
        successful=False,
        reason=f"{', '.join(ours)} cannot change while the bridge runs: start it again.",
    )


if __name__ == "__main__":
    sys.stdout.write(render_file())
