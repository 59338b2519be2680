"""What a setting is, how its value is checked, and how it is found by name."""

import dataclasses
import difflib
import functools
import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from human3r.errors import ConfigError

Value = bool | int | float | str | tuple[str, ...]
AnyDeclared = TypeVar("AnyDeclared", bound="Declared")

_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_FEW = 12
"""Names that fit into a message."""

_MOST = 1 << 1000
"""Whole numbers below it fit into a float."""


@dataclass(frozen=True)
class TextForm:
    """What a text must look like."""

    name: str
    """In a word or two, for tables."""
    what: str
    """Completes "expected ...", for example ``64 hex digits``."""
    fits: Callable[[str], bool]


@dataclass(frozen=True)
class SettingSpec:
    """The declaration of one setting."""

    name: str
    """Dotted name, for example ``scene.voxel_m``."""
    default: Value
    help: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    form: TextForm | None
    live: bool
    only: tuple[str, ...]
    """Places where it has an effect; empty: everywhere."""
    when: tuple[str, tuple[Value, ...]] | None
    """Another setting and the values with which this one has an effect; None: always."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Earlier words of choices, still read, and what they are called now."""

    @property
    def type(self) -> type:
        """bool, int, float, str or tuple (of strings)."""
        return type(self.default)

    def coerce(self, value: Any) -> Value:
        """``value`` as this setting's type; integers pass as floats, text is never parsed.

        Raises:
            ConfigError: another type.
        """
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            # A whole number of hundreds of digits is out of every range.
            return float(value) if abs(value) < _MOST else math.inf
        if self.type is tuple and isinstance(value, (list, tuple)):
            if all(isinstance(item, str) for item in value):
                return tuple(dict.fromkeys(value))
        elif type(value) is self.type:
            return self.renamed.get(value, value) if self.renamed else value  # pyright: ignore[reportArgumentType, reportCallIssue]
        wanted = "a list of texts" if self.type is tuple else self.type.__name__
        raise ConfigError(
            f"{self.name}: expected {wanted}, got {type(value).__name__} {reprlib.repr(value)}."
        )

    def parse(self, text: str) -> Value:
        """``text`` from a command line as this setting's type; lists are ``a,b`` or ``[a, b]``.

        Raises:
            ConfigError: not readable as that type.
        """
        if self.type is str:
            return text
        if self.type is tuple:
            items = text.strip().removeprefix("[").removesuffix("]").split(",")
            return tuple(item.strip().strip("'\"") for item in items if item.strip())
        if self.type is bool:
            if text.lower() in _WORDS:
                return _WORDS[text.lower()]
        else:
            try:
                return self.type(text)
            # Python refuses to read whole numbers of thousands of digits.
            except ValueError:
                pass
        raise ConfigError(f"{self.name}: expected {self.type.__name__}, got {text!r}.")

    def check(self, value: Value) -> None:
        """Nothing, when the value is allowed.

        Raises:
            ConfigError: wrong type, not finite, out of range, none of the choices, or not of the
                form.
        """
        value = self.coerce(value)
        if isinstance(value, tuple):
            self._check_list(value)
        elif isinstance(value, str):
            self._check_text(value)
        else:
            self._check_number(value)

    def _check_list(self, values: tuple[str, ...]) -> None:
        if not values or any(item not in self.choices for item in values):
            raise ConfigError(
                f"{self.name} is {reprlib.repr(list(values))}; expected a list of at least one of "
                f"{', '.join(self.choices)}."
            )

    def _check_text(self, value: str) -> None:
        if self.choices and value not in self.choices:
            raise ConfigError(
                f"{self.name} is {reprlib.repr(value)}; expected one of {', '.join(self.choices)}."
            )
        # An empty default means that the setting may be left open.
        if self.form and not self.form.fits(value) and not (value == self.default == ""):
            raise ConfigError(
                f"{self.name} is {reprlib.repr(value)}; expected {self.form.what}"
                f"{'' if self.default else ', or nothing'}."
            )

    def _check_number(self, value: float) -> None:
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{self.name} is {value}; expected a finite number.")
        too_low = self.low is not None and value < self.low
        too_high = self.high is not None and value > self.high
        if too_low or too_high:
            raise ConfigError(
                f"{self.name} is {reprlib.repr(value)}{self.unit and ' ' + self.unit}; "
                f"expected {_number(self.low)} to {_number(self.high)}."
            )


def setting(
    default: Value,
    help: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    form: TextForm | None = None,
    live: bool = False,
    only: tuple[str, ...] = (),
    when: tuple[str, tuple[Value, ...]] | None = None,
    renamed: Mapping[str, str] | None = None,
) -> Any:
    """One setting of a section.

    Args:
        default: also fixes the type.
        help: one sentence.
        unit: SI symbol or word, empty for pure numbers.
        low: smallest value allowed.
        high: largest value allowed.
        choices: the only strings allowed, if not empty.
        form: what a string must look like; an empty default is allowed as well.
        live: may change while the node runs; otherwise only while it is unconfigured.
        only: places where it has an effect; empty: everywhere.
        when: another setting's dotted name and the values with which this one has an effect.
        renamed: earlier words of choices, still read, and what they are called now.
    """
    return field(
        default=default,
        metadata={
            "help": help,
            "unit": unit,
            "low": low,
            "high": high,
            "choices": choices,
            "form": form,
            "live": live,
            "only": only,
            "when": when,
            "renamed": dict(renamed or {}),
        },
    )


@dataclass(frozen=True)
class Declared:
    """Base of a frozen dataclass whose fields are settings, or sections: dataclasses of settings.

    A section is a field with a ``default_factory``.

    Raises:
        ConfigError: when made with a value that is not allowed, or with contradictions.
    """

    OWNER: ClassVar[str] = "human3r"
    """Whose settings these are, for messages and parameter files: the node's name."""
    EXAMPLE: ClassVar[str] = "scene.voxel_m=0.05"
    """An assignment as ``--set`` takes it."""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            self._check_section(item)
        for name, value in self.flat().items():
            self.specs()[name].check(value)
        self._check_together()

    def __repr__(self) -> str:
        default = {name: spec.default for name, spec in self.specs().items()}
        changed = ", ".join(
            f"{name}={as_text(value)}"
            for name, value in self.flat().items()
            if value != default[name]
        )
        return f"{type(self).__name__}({changed or 'all defaults'})"

    def _check_section(self, item: dataclasses.Field) -> None:
        section, wanted = getattr(self, item.name), item.default_factory
        if not item.metadata and not isinstance(section, wanted):  # type: ignore[arg-type]
            name = wanted.__name__  # type: ignore[union-attr]
            raise ConfigError(
                f"{item.name} is {type(section).__name__}; expected {name}. Pass "
                f"{name}(...), or use replace({item.name}={{...}})."
            )

    def _check_together(self) -> None:
        """Checks of several settings at once."""

    @classmethod
    @functools.cache
    def specs(cls) -> Mapping[str, SettingSpec]:
        """Dotted name to declaration, in order."""
        found: dict[str, SettingSpec] = {}
        for item in dataclasses.fields(cls):
            if item.metadata:
                found[item.name] = SettingSpec(item.name, item.default, **item.metadata)  # pyright: ignore[reportArgumentType]
                continue
            for inner in dataclasses.fields(item.default_factory):  # type: ignore[arg-type]
                name = f"{item.name}.{inner.name}"
                found[name] = SettingSpec(name, inner.default, **inner.metadata)  # pyright: ignore[reportArgumentType]
        return found

    @classmethod
    def spec(cls, name: str) -> SettingSpec:
        """The declaration of one setting.

        Raises:
            ConfigError: unknown name; the nearest known one is suggested.
        """
        specs = cls.specs()
        if name not in specs:
            near = difflib.get_close_matches(name, specs, n=1)
            all_names = ", ".join(specs) if len(specs) <= _FEW else "listed by `human3r settings`"
            hint = f"did you mean {near[0]}?" if near else f"the known ones are {all_names}."
            raise ConfigError(f"{reprlib.repr(name)[1:-1]} is no setting of {cls.OWNER}; {hint}")
        return specs[name]

    def flat(self) -> dict[str, Value]:
        """Dotted name to value, in declaration order."""
        return {name: functools.reduce(getattr, name.split("."), self) for name in self.specs()}

    def replace(
        self: AnyDeclared, values: Mapping[str, Any] | None = None, /, **sections: Any
    ) -> AnyDeclared:
        """These settings with some changed, checked together.

        Args:
            values: dotted names and values, ``{"people.max_count": 2}``.
            **sections: the same by section, ``people={"max_count": 2}``; or a whole new section,
                ``people=PeopleSettings(max_count=2)``.

        Raises:
            ConfigError: unknown name (the nearest known one is suggested), wrong type, out of
                range, or a contradiction.
        """
        return self._replaced({**_checked_mapping(values), **self._flattened(sections)})

    def _flattened(self, sections: Mapping[str, Any]) -> dict[str, Any]:
        """Keyword arguments of ``replace`` as dotted names and values."""
        found: dict[str, Any] = {}
        for head, inner in sections.items():
            if head in self.specs():
                found[head] = inner
                continue
            if dataclasses.is_dataclass(inner) and isinstance(inner, type(getattr(self, head, 0))):
                inner = {f.name: getattr(inner, f.name) for f in dataclasses.fields(inner)}
            if not isinstance(inner, Mapping):
                example = next((name for name in self.specs() if name.startswith(f"{head}.")), "")
                hint = f"{{{example.partition('.')[2]!r}: ...}}" if example else "a section"
                raise ConfigError(
                    f"{head} is {reprlib.repr(inner)}; expected {hint} of {self.OWNER}'s settings."
                )
            found.update({f"{head}.{name}": value for name, value in inner.items()})
        return found

    def _replaced(self: AnyDeclared, values: Mapping[str, Any]) -> AnyDeclared:
        changed: dict[str, Any] = {}
        sections: dict[str, dict[str, Value]] = {}
        for name, value in values.items():
            value = self.spec(name).coerce(value)
            head, dot, key = name.partition(".")
            if dot:
                sections.setdefault(head, {})[key] = value
            else:
                changed[head] = value
        for head, inner in sections.items():
            changed[head] = dataclasses.replace(getattr(self, head), **inner)
        return dataclasses.replace(self, **changed)


def _checked_mapping(values: object) -> Mapping[str, Any]:
    if values is None:
        return {}
    if isinstance(values, Mapping):
        return values
    raise ConfigError(
        f"settings are {reprlib.repr(values)}; expected names and values, such as "
        "{'scene.voxel_m': 0.05}."
    )


def describe_range(spec: SettingSpec) -> str:
    """Unit, bounds or choices in a few words; empty when anything goes."""
    if spec.choices:
        return ("Some of " if spec.type is tuple else "One of ") + ", ".join(spec.choices) + "."
    if spec.low is not None:
        return f"{_number(spec.low)} to {_number(spec.high)}{spec.unit and ' ' + spec.unit}."
    return ""


def describe_effect(spec: SettingSpec) -> list[str]:
    """Where and with what else the setting has an effect; empty: everywhere and always."""
    phrases = [f"only in {' and '.join(spec.only)}"] if spec.only else []
    if spec.when:
        other, values = spec.when
        phrases.append(f"only with {other} {' or '.join(map(as_text, values))}")
    return phrases


def as_text(value: Value) -> str:
    """A value as it stands in YAML and on a command line."""
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(bound: float | None) -> str:
    if bound is None:
        return "any"
    return str(int(bound)) if float(bound).is_integer() else str(bound)
