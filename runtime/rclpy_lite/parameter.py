"""Parameters: name, type, value, and their messages."""

import array
from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np
import yaml

from rclpy_lite.messages import get_message

PARAMETER_SEPARATOR_STRING = "."

ParameterValue = get_message("rcl_interfaces/msg/ParameterValue")
ParameterMsg = get_message("rcl_interfaces/msg/Parameter")
ParameterType = get_message("rcl_interfaces/msg/ParameterType")

_FIELD_BY_TYPE = {
    1: "bool_value",
    2: "integer_value",
    3: "double_value",
    4: "string_value",
    5: "byte_array_value",
    6: "bool_array_value",
    7: "integer_array_value",
    8: "double_array_value",
    9: "string_array_value",
}
_ITEM_BY_TYPE: dict[int, type] = {6: bool, 7: int, 8: float, 9: str}


class Parameter:
    """One parameter with its value."""

    class Type(Enum):
        """Types of values."""

        NOT_SET = 0
        BOOL = 1
        INTEGER = 2
        DOUBLE = 3
        STRING = 4
        BYTE_ARRAY = 5
        BOOL_ARRAY = 6
        INTEGER_ARRAY = 7
        DOUBLE_ARRAY = 8
        STRING_ARRAY = 9

        @classmethod
        def from_parameter_value(cls, value: Any) -> "Parameter.Type":
            """The type that fits a Python value.

            Raises:
                TypeError: no type does.
            """
            if value is None:
                return cls.NOT_SET
            for kind, plain in ((1, bool), (2, int), (3, float), (4, str)):
                if isinstance(value, plain):
                    return cls(kind)
            if isinstance(value, (list, tuple, array.array, np.ndarray)):
                return cls._of_sequence(value)
            raise TypeError(
                f"The value is not one of the allowed types: {type(value).__name__} {value!r}."
            )

        @classmethod
        def _of_sequence(cls, value: Any) -> "Parameter.Type":
            items = value.tolist() if hasattr(value, "tolist") else list(value)
            if all(isinstance(item, bytes) for item in items):
                return cls.BYTE_ARRAY
            if all(isinstance(item, bool) for item in items):
                return cls.BOOL_ARRAY
            if any(isinstance(item, bool) for item in items):
                raise TypeError(f"The given list mixes types: {items!r}.")
            if all(isinstance(item, int) for item in items):
                return cls.INTEGER_ARRAY
            if all(isinstance(item, float) for item in items):
                return cls.DOUBLE_ARRAY
            if all(isinstance(item, str) for item in items):
                return cls.STRING_ARRAY
            raise TypeError(f"The given value is not a list of one allowed type: {items!r}.")

        def check(self, parameter_value: Any) -> bool:
            """True when a value fits this type."""
            if self is Parameter.Type.NOT_SET:
                return parameter_value is None
            if self.value <= 4:
                wanted: Any = (bool, int, float, str)[self.value - 1]
                if wanted is int and isinstance(parameter_value, bool):
                    return False
                return isinstance(parameter_value, wanted)
            if not isinstance(parameter_value, (list, tuple, array.array, np.ndarray)):
                return False
            items = list(parameter_value)
            if self is Parameter.Type.BYTE_ARRAY:
                return all(isinstance(item, bytes) and len(item) == 1 for item in items)
            item_type = _ITEM_BY_TYPE[self.value]
            return all(
                isinstance(item, item_type) and (item_type is not int or not isinstance(item, bool))
                for item in items
            )

    def __init__(self, name: str, type_: "Parameter.Type | None" = None, value: Any = None) -> None:
        if type_ is None:
            type_ = Parameter.Type.from_parameter_value(value)
        if not isinstance(type_, Parameter.Type):
            raise TypeError("type must be an instance of 'Parameter.Type'")
        if hasattr(value, "tolist"):
            value = value.tolist()
        if not type_.check(value):
            raise ValueError(f"Type '{type_}' and value '{value}' do not agree")
        self._name = name
        self._type = type_
        self._value = value

    @classmethod
    def from_parameter_msg(cls, param_msg: Any) -> "Parameter":
        """The parameter in a rcl_interfaces/msg/Parameter.

        Raises:
            ValueError: the message names a type that does not exist.
        """
        value = param_msg.value
        return cls(param_msg.name, Parameter.Type(value.type), parameter_value_to_python(value))

    @property
    def name(self) -> str:
        """The name, with dots between its parts."""
        return self._name

    @property
    def type_(self) -> "Parameter.Type":
        """The type of the value."""
        return self._type

    @property
    def value(self) -> Any:
        """The value."""
        return self._value

    def get_parameter_value(self) -> Any:
        """The value as a rcl_interfaces/msg/ParameterValue."""
        made = ParameterValue(type=self._type.value)
        field = _FIELD_BY_TYPE.get(self._type.value)
        if field is not None:
            value = self._value
            if self._type is Parameter.Type.BYTE_ARRAY:
                value = b"".join(value)
            setattr(made, field, value)
        return made

    def to_parameter_msg(self) -> Any:
        """A rcl_interfaces/msg/Parameter."""
        return ParameterMsg(name=self._name, value=self.get_parameter_value())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parameter) and (self.name, self.type_, self.value) == (
            other.name,
            other.type_,
            other.value,
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Parameter(name={self._name!r}, type_={self._type}, value={self._value!r})"


def parameter_value_to_python(parameter_value: Any) -> Any:
    """The Python value in a rcl_interfaces/msg/ParameterValue.

    Raises:
        RuntimeError: the message names a type that does not exist.
    """
    if parameter_value.type == 0:
        return None
    field = _FIELD_BY_TYPE.get(parameter_value.type)
    if field is None:
        raise RuntimeError(f"unexpected parameter type {parameter_value.type}")
    value = getattr(parameter_value, field)
    if parameter_value.type == 5:
        return [bytes((item,)) for item in bytes(value)]
    return value.tolist() if hasattr(value, "tolist") else value


def get_parameter_value(string_value: str) -> Any:
    """A ParameterValue from text as YAML would read it."""
    try:
        value = yaml.safe_load(string_value)
        return Parameter("value", value=value).get_parameter_value()
    except (yaml.YAMLError, TypeError):
        return Parameter("value", value=string_value).get_parameter_value()


def coerce(value: Any) -> Any:
    """A value from YAML or the command line with one type throughout, as rcl reads it."""
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        items = list(value)
        if any(isinstance(i, float) for i in items) and all(
            isinstance(i, (int, float)) and not isinstance(i, bool) for i in items
        ):
            return [float(i) for i in items]
        return items
    return value
