"""``--ros-args``: remapping, parameters, log level."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rclpy_lite.exceptions import RCLError

MAX_PARAMETER_FILE_BYTES = 4 * 1024 * 1024


class InvalidROSArgsError(RCLError):
    """An argument after ``--ros-args`` cannot be understood."""


@dataclass(frozen=True)
class Rule:
    """One remapping, for every node or for one."""

    node: str | None
    source: str
    target: str


@dataclass
class RosArguments:
    """What the arguments between ``--ros-args`` and ``--`` say."""

    rules: list[Rule] = field(default_factory=list)
    parameters: list[tuple[str, str, Any]] = field(default_factory=list)
    """(node pattern, name, value); later ones win."""
    log_levels: dict[str, str] = field(default_factory=dict)
    """Level by logger name; the empty name is the default level."""
    rosout_enabled: bool = True
    others: list[str] = field(default_factory=list)
    """Arguments that are not for ROS."""


def _rule(text: str) -> Rule:
    source, separator, target = text.partition(":=")
    if not separator or not source or not target:
        raise InvalidROSArgsError(f"remap rule: got {text!r}; expected FROM:=TO.")
    match = re.fullmatch(r"([A-Za-z_]\w*):(.+)", source)
    return Rule(match[1], match[2], target) if match else Rule(None, source, target)


def _parameter(text: str) -> tuple[str, str, Any]:
    name, separator, value = text.partition(":=")
    if not separator or not name:
        raise InvalidROSArgsError(f"parameter: got {text!r}; expected NAME:=VALUE.")
    match = re.fullmatch(r"([A-Za-z_]\w*):(.+)", name)
    pattern, name = (f"/**/{match[1]}", match[2]) if match else ("/**", name)
    try:
        return pattern, name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InvalidROSArgsError(
            f"parameter {name}: got {value!r}; expected a YAML value."
        ) from error


def flatten(tree: dict[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping with dots in the names."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _walk_file(tree: Any, path: str, found: list[tuple[str, str, Any]], file: Path) -> None:
    if not isinstance(tree, dict):
        raise InvalidROSArgsError(
            f"{file}: {path or 'the file'} is not a mapping; expected "
            "NODE: {ros__parameters: {NAME: VALUE}}."
        )
    for key, value in tree.items():
        if key == "ros__parameters":
            parameters = value if isinstance(value, dict) else {}
            found += [(path or "/**", name, item) for name, item in flatten(parameters).items()]
        else:
            part = str(key).strip("/")
            _walk_file(value, f"{path}/{part}", found, file)


def parameters_from_file(file: str | Path) -> list[tuple[str, str, Any]]:
    """(node pattern, name, value) of a ROS 2 parameter file.

    Raises:
        InvalidROSArgsError: it cannot be read or is not of that form.
    """
    path = Path(file)
    try:
        if path.stat().st_size > MAX_PARAMETER_FILE_BYTES:
            raise InvalidROSArgsError(f"{path}: more than {MAX_PARAMETER_FILE_BYTES} bytes.")
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidROSArgsError(f"{path}: cannot be read as a parameter file: {error}") from error
    found: list[tuple[str, str, Any]] = []
    _walk_file(tree or {}, "", found, path)
    return found


def matches(pattern: str, full_node_name: str) -> bool:
    """True when a node pattern of a parameter file (``/**``, ``/ns/*``, ``/name``) fits."""
    expression = "".join(
        "(/[^/]+)*" if part == "**" else "/[^/]+" if part == "*" else f"/{re.escape(part)}"
        for part in pattern.strip("/").split("/")
    )
    return re.fullmatch(expression, full_node_name) is not None


_TAKES_VALUE = {
    "-r": "remap",
    "--remap": "remap",
    "-p": "param",
    "--param": "param",
    "--params-file": "file",
    "--log-level": "level",
    "--log-config-file": "ignored",
    "-e": "ignored",
    "--enclave": "ignored",
}
_FLAGS = {
    f"--{word}-{what}"
    for word in ("enable", "disable")
    for what in ("rosout-logs", "stdout-logs", "external-lib-logs")
}


def _apply(kind: str, value: str, parsed: RosArguments, files: list, given: list) -> None:
    if kind == "remap":
        parsed.rules.append(_rule(value))
    elif kind == "param":
        given.append(_parameter(value))
    elif kind == "file":
        files.extend(parameters_from_file(value))
    elif kind == "level":
        logger, separator, level = value.rpartition(":=")
        parsed.log_levels[logger if separator else ""] = level


def parse(args: list[str]) -> RosArguments:
    """Split and read a command line.

    Raises:
        InvalidROSArgsError: an argument between ``--ros-args`` and ``--`` is unknown or wrong.
    """
    parsed = RosArguments()
    files: list[tuple[str, str, Any]] = []
    given: list[tuple[str, str, Any]] = []
    is_ros = False
    rest = iter(args)
    for word in rest:
        if word == "--ros-args":
            is_ros = True
        elif word == "--" and is_ros:
            is_ros = False
        elif not is_ros:
            parsed.others.append(word)
        elif word in _FLAGS:
            if word.endswith("rosout-logs"):
                parsed.rosout_enabled = word.startswith("--enable")
        elif word in _TAKES_VALUE:
            value = next(rest, None)
            if value is None:
                raise InvalidROSArgsError(f"{word}: got nothing; expected a value after it.")
            _apply(_TAKES_VALUE[word], value, parsed, files, given)
        elif ":=" in word:
            parsed.rules.append(_rule(word))
        else:
            raise InvalidROSArgsError(
                f"--ros-args: got {word!r}; expected one of {', '.join(sorted(_TAKES_VALUE))}. "
                "Put arguments that are not for ROS before --ros-args or after --."
            )
    # As in rcl: values from files first, single values on top.
    parsed.parameters = files + given
    return parsed
