"""Settings on a command line: ``--settings``, ``--set``, flags, and what has no effect there."""

import argparse
import logging
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from human3r.errors import ConfigError
from human3r.setting.declaration import (
    AnyDeclared,
    Declared,
    SettingSpec,
    as_text,
    describe_effect,
    describe_range,
)
from human3r.setting.yaml_file import load_yaml

log = logging.getLogger(__name__)


def add_settings_options(
    parser: Any, *, example: str = Declared.EXAMPLE, aliases: Sequence[str] = ()
) -> None:
    """``--settings`` and ``--set``, which every command with settings has.

    Args:
        parser: an argparse parser or group.
        example: of an assignment, for the help.
        aliases: other spellings of ``--settings``.
    """
    parser.add_argument(
        "--settings", *aliases, metavar="FILE", help="YAML file of settings, or ROS parameter file"
    )
    parser.add_argument(
        "--set",
        dest="assignments",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"one setting, for example {example}; wins over the file; may be repeated",
    )


def add_setting_flag(
    parser: Any, flag: str, spec: SettingSpec, metavar: str | None, *, with_default: bool = True
) -> None:
    """A setting with a flag of its own; it is None, under the dotted name, where not given.

    Args:
        parser: an argparse parser or group.
        flag: with its dashes.
        spec: gives type, choices and help.
        metavar: stands for the value in the help.
        with_default: the help names the default; off where something else decides it.
    """
    kind: dict[str, Any] = {"type": spec.type, "metavar": metavar}
    if spec.choices:
        kind["choices"] = spec.choices
    if spec.type is bool:
        kind = {"action": argparse.BooleanOptionalAction}
    allowed = "" if spec.choices else describe_range(spec)
    has_default = with_default and spec.default != ""
    default = f" (default: {as_text(spec.default)})" if has_default else ""
    text = f"{spec.help} {allowed}".strip().replace("%", "%%") + default
    parser.add_argument(flag, dest=spec.name, default=None, help=text, **kind)


def given_values(
    args: argparse.Namespace,
    declared: type[Declared],
    *,
    flags: Mapping[str, Any] | None = None,
    foreign: tuple[str, ...] = (),
) -> dict[str, Any]:
    """What the file, ``--set`` and flags say, by dotted name; the last one wins.

    Args:
        args: with what ``add_settings_options`` added.
        declared: whose settings they are.
        flags: dotted names and values; None values were not given.
        foreign: beginnings of names that belong to other programs and pass unchecked.

    Raises:
        ConfigError: unreadable file, unknown name, or wrong type.
    """
    values = load_yaml(args.settings, declared.OWNER) if args.settings else {}
    for assignment in args.assignments:
        name, text = _assigned(assignment, declared)
        values[name] = _parsed(name, text, declared, foreign)
    values.update({name: value for name, value in (flags or {}).items() if value is not None})
    return {
        name: value if name.startswith(foreign) else declared.spec(name).coerce(value)
        for name, value in values.items()
    }


def settings_from(
    args: argparse.Namespace,
    default: AnyDeclared,
    *,
    flags: Mapping[str, Any] | None = None,
    places: Sequence[str] = (),
) -> AnyDeclared:
    """The settings that a command line asks for; says what of it has no effect.

    Args:
        args: with what ``add_settings_options`` added.
        default: what holds for all that is not given.
        flags: dotted names and values that win over file and ``--set``; None: not given.
        places: where the settings are used, the command first; empty: nothing is reported.

    Raises:
        ConfigError: unreadable file, unknown name, or wrong value.
    """
    given = given_values(args, type(default), flags=flags)
    settings = default.replace(given)
    for text in warnings_without_effect(settings, given, places):
        log.warning("%s", text)
    return settings


def warnings_without_effect(
    settings: Declared, names: Iterable[str], places: Sequence[str]
) -> list[str]:
    """A sentence for every reason why given settings change nothing.

    Args:
        settings: what holds.
        names: dotted names that were given; those at their defaults are not mentioned.
        places: where the settings are used, the command first; empty: nothing is reported.
    """
    if not places:
        return []
    values, specs = settings.flat(), settings.specs()
    reasons: dict[str, list[str]] = {}
    for name in names:
        if values[name] != specs[name].default:
            reason = _reason(specs[name], values, places)
            if reason:
                reasons.setdefault(reason, []).append(name)
    return [
        f"{', '.join(found)} {'has' if len(found) == 1 else 'have'} no effect {reason}."
        for reason, found in reasons.items()
    ]


def _reason(spec: SettingSpec, values: Mapping[str, Any], places: Sequence[str]) -> str:
    phrases = describe_effect(spec)
    if spec.only and not set(spec.only) & set(places):
        return f"in {places[0]}, {phrases[0]}"
    if spec.when is None:
        return ""
    other, wanted = spec.when
    value = values[other]
    is_met = bool(set(value) & set(wanted)) if isinstance(value, tuple) else value in wanted
    return "" if is_met else f"with {other} {as_text(value)}, {phrases[-1]}"


def _assigned(assignment: str, declared: type[Declared]) -> tuple[str, str]:
    name, equals, text = assignment.partition("=")
    if not equals:
        raise ConfigError(
            f"--set {reprlib.repr(assignment)[1:-1]}: expected NAME=VALUE, for example "
            f"{declared.EXAMPLE}. Add a value."
        )
    return name.strip(), text


def _parsed(name: str, text: str, declared: type[Declared], foreign: tuple[str, ...]) -> Any:
    if not name.startswith(foreign):
        return declared.spec(name).parse(text)
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {name}: {text!r} is no YAML value: {error}") from error
