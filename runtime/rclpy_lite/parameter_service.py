"""The six parameter services of a node."""

from collections.abc import Callable
from typing import Any

from rclpy_lite.exceptions import (
    InvalidParameterValueException,
    ParameterNotDeclaredException,
    ParameterUninitializedException,
)
from rclpy_lite.messages import get_message, get_service
from rclpy_lite.parameter import Parameter
from rclpy_lite.qos import qos_profile_parameters

_Result = get_message("rcl_interfaces/msg/SetParametersResult")


class ParameterService:
    """Lets other processes read and set a node's parameters."""

    def __init__(self, node: Any, callback_group: Any = None) -> None:
        self._node = node
        services: list[tuple[str, str, Callable]] = [
            ("DescribeParameters", "describe_parameters", self._describe),
            ("GetParameters", "get_parameters", self._get),
            ("GetParameterTypes", "get_parameter_types", self._types),
            ("ListParameters", "list_parameters", self._list),
            ("SetParameters", "set_parameters", self._set),
            ("SetParametersAtomically", "set_parameters_atomically", self._set_atomically),
        ]
        for kind, name, callback in services:
            node.create_service(
                get_service(f"rcl_interfaces/srv/{kind}"),
                f"~/{name}",
                callback,
                qos_profile=qos_profile_parameters,
                callback_group=callback_group,
            )

    def _describe(self, request: Any, response: Any) -> Any:
        try:
            response.descriptors = self._node.describe_parameters(request.names)
        except ParameterNotDeclaredException:
            response.descriptors = []
        return response

    def _get(self, request: Any, response: Any) -> Any:
        values = []
        for name in request.names:
            try:
                values.append(self._node.get_parameter(name).get_parameter_value())
            except ParameterNotDeclaredException:
                # As in rclpy: one unknown name empties the answer.
                values = []
                break
            except ParameterUninitializedException:
                values.append(Parameter(name).get_parameter_value())
        response.values = values
        return response

    def _types(self, request: Any, response: Any) -> Any:
        try:
            response.types = [t.value for t in self._node.get_parameter_types(request.names)]
        except ParameterNotDeclaredException:
            response.types = []
        return response

    def _list(self, request: Any, response: Any) -> Any:
        response.result = self._node.list_parameters(request.prefixes, request.depth)
        return response

    def _set(self, request: Any, response: Any) -> Any:
        response.results = [self._set_some([message]) for message in request.parameters]
        return response

    def _set_atomically(self, request: Any, response: Any) -> Any:
        response.result = self._set_some(request.parameters)
        return response

    def _set_some(self, messages: list[Any]) -> Any:
        try:
            parameters = [Parameter.from_parameter_msg(message) for message in messages]
            return self._node.set_parameters_atomically(parameters)
        except ParameterNotDeclaredException as error:
            return _Result(successful=False, reason=str(error.args[0]) + f": {error.args[1]}")
        except (InvalidParameterValueException, ValueError, RuntimeError, TypeError) as error:
            return _Result(successful=False, reason=str(error))
