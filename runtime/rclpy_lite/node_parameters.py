"""The parameter half of a node."""

import math
from collections.abc import Callable
from typing import Any

from rclpy_lite.exceptions import (
    InvalidParameterException,
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterAlreadyDeclaredException,
    ParameterImmutableException,
    ParameterNotDeclaredException,
    ParameterUninitializedException,
)
from rclpy_lite.messages import get_message
from rclpy_lite.parameter import PARAMETER_SEPARATOR_STRING, Parameter

ParameterDescriptor = get_message("rcl_interfaces/msg/ParameterDescriptor")
ParameterEvent = get_message("rcl_interfaces/msg/ParameterEvent")
SetParametersResult = get_message("rcl_interfaces/msg/SetParametersResult")
ListParametersResult = get_message("rcl_interfaces/msg/ListParametersResult")
Type = Parameter.Type


def _range_problem(value: float, ranges: Any) -> str | None:
    if not len(ranges):
        return None
    low, high, step = ranges[0].from_value, ranges[0].to_value, ranges[0].step
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number"
    if not (low <= value <= high or math.isclose(value, low) or math.isclose(value, high)):
        return f"{value} is out of range [{low}, {high}]"
    if step and not (math.isclose(value, low) or math.isclose(value, high)):
        steps = (value - low) / step
        if not math.isclose(steps, round(steps), rel_tol=0.0, abs_tol=1e-6):
            return f"{value} is not {low} plus a whole number of steps of {step}"
    return None


def _failed(reason: str) -> Any:
    return SetParametersResult(successful=False, reason=reason)


class NodeParameters:
    """Declares, sets and gets parameters; a base of `Node`."""

    def _init_parameters(self, overrides: dict[str, Parameter], allow_undeclared: bool) -> None:
        self._parameters: dict[str, Parameter] = {}
        self._descriptors: dict[str, Any] = {}
        self._parameter_overrides = overrides
        self._allow_undeclared = allow_undeclared
        self._pre_set: list[Callable[[list[Parameter]], list[Parameter]]] = []
        self._on_set: list[Callable[[list[Parameter]], Any]] = []
        self._post_set: list[Callable[[list[Parameter]], None]] = []
        self._parameter_event_publisher: Any = None

    # Declaring.

    def declare_parameter(
        self,
        name: str,
        value: Any = None,
        descriptor: Any = None,
        ignore_override: bool = False,
    ) -> Parameter:
        """Declare one parameter with a default, or with a `Parameter.Type` and no default.

        Raises:
            ParameterAlreadyDeclaredException: declared before.
            InvalidParameterTypeException: the override has another type.
            InvalidParameterValueException: a range or a callback refused the value.
        """
        descriptor = ParameterDescriptor() if descriptor is None else descriptor
        return self.declare_parameters("", [(name, value, descriptor)], ignore_override)[0]

    def declare_parameters(
        self, namespace: str, parameters: list[tuple], ignore_override: bool = False
    ) -> list[Parameter]:
        """Declare several as (name[, value[, descriptor]]), below ``namespace``."""
        prepared = [self._prepare(namespace, entry, ignore_override) for entry in parameters]
        taken = [p.name for p, _ in prepared if p.name in self._parameters]
        if taken:
            raise ParameterAlreadyDeclaredException(taken)
        for parameter, descriptor in prepared:
            self._descriptors[parameter.name] = descriptor
            result = self._set_atomically([parameter], is_declaring=True)
            if not result.successful:
                self._descriptors.pop(parameter.name, None)
                if result.reason.startswith("Wrong parameter type"):
                    raise InvalidParameterTypeException(parameter.name, result.reason)
                raise InvalidParameterValueException(parameter.name, parameter.value, result.reason)
        return [self._parameters[p.name] for p, _ in prepared]

    def _prepare(
        self, namespace: str, entry: tuple, ignore_override: bool
    ) -> tuple[Parameter, Any]:
        if not isinstance(entry, tuple) or not 1 <= len(entry) <= 3:
            raise TypeError(
                f"declare_parameters: got {entry!r}; expected (name, value, descriptor)."
            )
        name = entry[0]
        if not isinstance(name, str):
            raise TypeError(f"parameter name: got {name!r}; expected a str.")
        if namespace:
            name = f"{namespace}{PARAMETER_SEPARATOR_STRING}{name}"
        if not name:
            raise InvalidParameterException(name)
        value = entry[1] if len(entry) > 1 else None
        descriptor = entry[2] if len(entry) > 2 and entry[2] is not None else ParameterDescriptor()
        wanted = value if isinstance(value, Type) else None
        if not ignore_override and name in self._parameter_overrides:
            parameter = self._parameter_overrides[name]
        elif wanted is not None:
            parameter = Parameter(name)
        else:
            parameter = Parameter(name, value=value)
        static_type = wanted or (Type.from_parameter_value(value) if value is not None else None)
        copy = ParameterDescriptor(
            **{field: getattr(descriptor, field) for field in type(descriptor).__ros_fields__}
        )
        copy.name = name
        if static_type is None:
            copy.dynamic_typing = True
        if not copy.dynamic_typing:
            copy.type = (static_type or parameter.type_).value
            parameter = self._widen(parameter, Type(copy.type))
        return parameter, copy

    @staticmethod
    def _widen(parameter: Parameter, wanted: Type) -> Parameter:
        # YAML writes an empty list without a type.
        if isinstance(parameter.value, list) and not parameter.value and wanted.value >= 5:
            return Parameter(parameter.name, wanted, [])
        return parameter

    def undeclare_parameter(self, name: str) -> None:
        """Take a declaration back.

        Raises:
            ParameterNotDeclaredException: there was none.
            ParameterImmutableException: it is read-only.
        """
        if name not in self._parameters:
            raise ParameterNotDeclaredException(name)
        if self._descriptors[name].read_only:
            raise ParameterImmutableException(name)
        parameter = self._parameters.pop(name)
        self._descriptors.pop(name)
        self._publish_parameter_event(deleted=[parameter])

    def has_parameter(self, name: str) -> bool:
        """True when declared."""
        return name in self._parameters

    # Getting.

    def get_parameter(self, name: str) -> Parameter:
        """One parameter.

        Raises:
            ParameterNotDeclaredException: unknown.
            ParameterUninitializedException: declared with a type but without a value.
        """
        if name in self._parameters:
            parameter = self._parameters[name]
            if parameter.type_ is Type.NOT_SET and not self._descriptors[name].dynamic_typing:
                raise ParameterUninitializedException(name)
            return parameter
        if self._allow_undeclared:
            return Parameter(name)
        raise ParameterNotDeclaredException(name)

    def get_parameters(self, names: list[str]) -> list[Parameter]:
        """Several parameters."""
        return [self.get_parameter(name) for name in names]

    def get_parameter_or(self, name: str, alternative_value: Parameter | None = None) -> Parameter:
        """One parameter, or the alternative where it is not set."""
        if self.has_parameter(name) and self._parameters[name].type_ is not Type.NOT_SET:
            return self._parameters[name]
        return Parameter(name) if alternative_value is None else alternative_value

    def get_parameters_by_prefix(self, prefix: str) -> dict[str, Parameter]:
        """Parameters below ``prefix.``, by the rest of their names."""
        start = f"{prefix}{PARAMETER_SEPARATOR_STRING}" if prefix else ""
        return {
            name.removeprefix(start): parameter
            for name, parameter in self._parameters.items()
            if name.startswith(start)
        }

    def get_parameter_types(self, names: list[str]) -> list[Type]:
        """Types by name."""
        return [self.get_parameter_type(name) for name in names]

    def get_parameter_type(self, name: str) -> Type:
        """The type of one parameter."""
        if name in self._parameters:
            return self._parameters[name].type_
        if self._allow_undeclared:
            return Type.NOT_SET
        raise ParameterNotDeclaredException(name)

    def describe_parameter(self, name: str) -> Any:
        """The descriptor of one parameter."""
        if name in self._descriptors:
            return self._descriptors[name]
        if self._allow_undeclared:
            return ParameterDescriptor(name=name)
        raise ParameterNotDeclaredException(name)

    def describe_parameters(self, names: list[str]) -> list[Any]:
        """Descriptors by name."""
        return [self.describe_parameter(name) for name in names]

    def set_descriptor(self, name: str, descriptor: Any, alternative_value: Any = None) -> Any:
        """Replace a descriptor; the value must fit it."""
        if name not in self._parameters:
            raise ParameterNotDeclaredException(name)
        if self._descriptors[name].read_only:
            raise ParameterImmutableException(name)
        former, self._descriptors[name] = self._descriptors[name], descriptor
        descriptor.name = name
        if not descriptor.dynamic_typing:
            descriptor.type = self._parameters[name].type_.value
        parameter = self._parameters[name]
        if alternative_value is not None:
            parameter = Parameter.from_parameter_msg(
                type(parameter.to_parameter_msg())(name=name, value=alternative_value)
            )
        problem = self._problem_of(parameter, descriptor, is_declaring=True)
        if problem is not None:
            self._descriptors[name] = former
            raise InvalidParameterValueException(name, parameter.value, problem)
        self._parameters[name] = parameter
        return parameter.get_parameter_value()

    def list_parameters(self, prefixes: list[str], depth: int) -> Any:
        """A ListParametersResult of names below any of ``prefixes``, at most ``depth`` levels."""
        separator = PARAMETER_SEPARATOR_STRING
        found: list[str] = []
        for name in self._parameters:
            if not prefixes:
                if depth == 0 or name.count(separator) < depth:
                    found.append(name)
                continue
            for prefix in prefixes:
                inside = name == prefix or name.startswith(f"{prefix}{separator}")
                rest = name[len(prefix) :].strip(separator)
                if inside and (depth == 0 or rest.count(separator) < depth):
                    found.append(name)
                    break
        above = sorted({n.rpartition(separator)[0] for n in found if separator in n})
        return ListParametersResult(names=sorted(found), prefixes=above)

    # Setting.

    def set_parameters(self, parameter_list: list[Parameter]) -> list[Any]:
        """Set one after the other; a SetParametersResult for each.

        Raises:
            ParameterNotDeclaredException: one is unknown.
        """
        return [self.set_parameters_atomically([parameter]) for parameter in parameter_list]

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> Any:
        """Set all or none; one SetParametersResult.

        Raises:
            ParameterNotDeclaredException: one is unknown.
        """
        for callback in self._pre_set:
            parameter_list = callback(parameter_list)
            if not parameter_list:
                return _failed("parameter list is empty after the pre-set callbacks")
        unknown = [p.name for p in parameter_list if p.name not in self._parameters]
        if unknown and not self._allow_undeclared:
            raise ParameterNotDeclaredException(unknown)
        for name in unknown:
            self._descriptors[name] = ParameterDescriptor(name=name, dynamic_typing=True)
        return self._set_atomically(parameter_list, is_declaring=False)

    def _problem_of(self, parameter: Parameter, descriptor: Any, is_declaring: bool) -> str | None:
        if descriptor.read_only and not is_declaring:
            return "Trying to set a read-only parameter: {}.".format(parameter.name)  # noqa: UP032
        if descriptor.dynamic_typing:
            pass
        elif parameter.type_ is Type.NOT_SET:
            if not is_declaring:
                return "Static parameter cannot be undeclared"
        elif descriptor.type not in (0, parameter.type_.value):
            return (
                f"Wrong parameter type, expected '{Type(descriptor.type)}' got '{parameter.type_}'"
            )
        if parameter.type_ is Type.INTEGER:
            problem = _range_problem(parameter.value, descriptor.integer_range)
        elif parameter.type_ is Type.DOUBLE:
            problem = _range_problem(parameter.value, descriptor.floating_point_range)
        else:
            problem = None
        return None if problem is None else f"Parameter {parameter.name}: {problem}"

    def _set_atomically(self, parameters: list[Parameter], is_declaring: bool) -> Any:
        checked = []
        for given in parameters:
            descriptor = self._descriptors[given.name]
            parameter = self._widen(given, Type(descriptor.type)) if descriptor.type else given
            problem = self._problem_of(parameter, descriptor, is_declaring)
            if problem is not None:
                return _failed(problem)
            checked.append(parameter)
        for callback in list(self._on_set):
            result = callback(checked)
            if not result.successful:
                return result
        events: dict[str, list[Parameter]] = {"new": [], "changed": [], "deleted": []}
        for parameter in checked:
            former = self._parameters.get(parameter.name)
            if parameter.type_ is Type.NOT_SET and not is_declaring:
                self._parameters.pop(parameter.name, None)
                events["deleted"].append(parameter)
                continue
            is_new = former is None or former.type_ is Type.NOT_SET
            events["new" if is_new else "changed"].append(parameter)
            self._parameters[parameter.name] = parameter
        self._parameters_were_set(checked)
        for post in list(self._post_set):
            post(checked)
        self._publish_parameter_event(**events)
        return SetParametersResult(successful=True)

    def _parameters_were_set(self, parameters: list[Parameter]) -> None:
        """Overridden by the node for use_sim_time."""

    def _publish_parameter_event(
        self,
        new: list[Parameter] | None = None,
        changed: list[Parameter] | None = None,
        deleted: list[Parameter] | None = None,
    ) -> None:
        if self._parameter_event_publisher is None:
            return
        event = ParameterEvent(
            stamp=self.get_clock().now().to_msg(),  # type: ignore[attr-defined]
            node=self.get_fully_qualified_name(),  # type: ignore[attr-defined]
            new_parameters=[p.to_parameter_msg() for p in new or []],
            changed_parameters=[p.to_parameter_msg() for p in changed or []],
            deleted_parameters=[p.to_parameter_msg() for p in deleted or []],
        )
        self._parameter_event_publisher.publish(event)

    # Callbacks.

    def add_pre_set_parameters_callback(self, callback: Callable) -> None:
        """May change the list of parameters before it is checked."""
        self._pre_set.insert(0, callback)

    def add_on_set_parameters_callback(self, callback: Callable) -> None:
        """May refuse parameters by its SetParametersResult; must not have side effects."""
        self._on_set.insert(0, callback)

    def add_post_set_parameters_callback(self, callback: Callable) -> None:
        """Told after parameters were set."""
        self._post_set.insert(0, callback)

    def remove_pre_set_parameters_callback(self, callback: Callable) -> None:
        """Undo `add_pre_set_parameters_callback`."""
        self._pre_set.remove(callback)

    def remove_on_set_parameters_callback(self, callback: Callable) -> None:
        """Undo `add_on_set_parameters_callback`."""
        self._on_set.remove(callback)

    def remove_post_set_parameters_callback(self, callback: Callable) -> None:
        """Undo `add_post_set_parameters_callback`."""
        self._post_set.remove(callback)
