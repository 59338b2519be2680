"""Nodes."""

from typing import Any

from rclpy_lite import arguments as ros_arguments
from rclpy_lite import logging
from rclpy_lite.callback_groups import CallbackGroup, MutuallyExclusiveCallbackGroup
from rclpy_lite.clock import Clock, ROSClock
from rclpy_lite.context import Context, get_default_context
from rclpy_lite.exceptions import NotInitializedException
from rclpy_lite.messages import get_message
from rclpy_lite.node_entities import NodeEntities
from rclpy_lite.node_graph import NodeGraph, NodeNameNonExistentError
from rclpy_lite.node_names import NodeNames
from rclpy_lite.node_parameters import NodeParameters
from rclpy_lite.parameter import Parameter, coerce
from rclpy_lite.parameter_service import ParameterService
from rclpy_lite.publisher import Publisher
from rclpy_lite.qos import (
    QoSProfile,
    qos_profile_parameter_events,
    qos_profile_rosout_default,
    to_profile,
)
from rclpy_lite.time_source import TimeSource
from rclpy_lite.waitable import Waitable

__all__ = ["Node", "NodeNameNonExistentError"]


class Node(NodeNames, NodeEntities, NodeParameters, NodeGraph):
    """A named participant of the ROS graph."""

    def __init__(
        self,
        node_name: str,
        *,
        context: Context | None = None,
        cli_args: list[str] | None = None,
        namespace: str | None = None,
        use_global_arguments: bool = True,
        enable_rosout: bool = True,
        rosout_qos_profile: QoSProfile | int = qos_profile_rosout_default,
        start_parameter_services: bool = True,
        parameter_overrides: list[Parameter] | None = None,
        allow_undeclared_parameters: bool = False,
        automatically_declare_parameters_from_overrides: bool = False,
        enable_logger_service: bool = False,
    ) -> None:
        if enable_logger_service:
            raise NotImplementedError("logger services (enable_logger_service)")
        self._context = context or get_default_context()
        if not self._context.ok():
            raise NotInitializedException("cannot create node")
        self._init_entities()
        self._executor: Any = None
        self._default_callback_group = MutuallyExclusiveCallbackGroup()
        arguments = self._read_arguments(cli_args, use_global_arguments)
        self._set_names(node_name, namespace or "/")
        self._logger = logging.get_logger(self.get_fully_qualified_name()[1:].replace("/", "."))
        self._clock = ROSClock()
        self._graph_record = self._context.graph.add_node(self._name, self._namespace)
        self._rosout: Publisher | None = None
        try:
            if enable_rosout and arguments.rosout_enabled:
                self._start_rosout(to_profile(rosout_qos_profile))
            self._start_parameters(
                parameter_overrides or [],
                allow_undeclared_parameters,
                automatically_declare_parameters_from_overrides,
            )
            self._time_source = TimeSource(node=self, clock=self._clock)
            self._time_source.start()
            if start_parameter_services:
                ParameterService(self)
        except BaseException:
            self.destroy_node()
            raise
        self._context.track_node(self)
        self._announce()

    def _start_rosout(self, profile: QoSProfile) -> None:
        log_class = get_message("rcl_interfaces/msg/Log")
        time_class = get_message("builtin_interfaces/msg/Time")
        self._rosout = self.create_publisher(log_class, "/rosout", profile)

        def publish(
            severity: int, name: str, text: str, stamp_ns: int, file: str, function: str, line: int
        ) -> None:
            publisher = self._rosout
            if publisher is None or not self._context.ok():
                return
            seconds, nanoseconds = divmod(stamp_ns, 10**9)
            publisher.publish(
                log_class(
                    stamp=time_class(sec=seconds, nanosec=nanoseconds),
                    level=int(severity),
                    name=name,
                    msg=text,
                    file=file,
                    function=function,
                    line=line,
                )
            )

        logging.add_sink(self._logger.name, publish)

    def _start_parameters(
        self, given: list[Parameter], allow_undeclared: bool, declare_all: bool
    ) -> None:
        overrides: dict[str, Parameter] = {}
        own_name = self.get_fully_qualified_name()
        for arguments in reversed(self._arguments):
            for pattern, name, value in arguments.parameters:
                if ros_arguments.matches(pattern, own_name):
                    overrides[name] = Parameter(name, value=coerce(value))
        overrides.update({parameter.name: parameter for parameter in given})
        self._init_parameters(overrides, allow_undeclared)
        if declare_all:
            descriptor = get_message("rcl_interfaces/msg/ParameterDescriptor")
            for name, parameter in overrides.items():
                self.declare_parameter(name, parameter.value, descriptor(dynamic_typing=True))
        self._parameter_event_publisher = self.create_publisher(
            get_message("rcl_interfaces/msg/ParameterEvent"),
            "/parameter_events",
            qos_profile_parameter_events,
        )

    def _parameters_were_set(self, parameters: list[Parameter]) -> None:
        source = getattr(self, "_time_source", None)
        for parameter in parameters:
            if parameter.name == "use_sim_time" and source is not None:
                source.apply(parameter)

    # Who this is.

    @property
    def context(self) -> Context:
        """The context the node lives in."""
        return self._context

    @property
    def default_callback_group(self) -> CallbackGroup:
        """Where entities go that name no group: one callback at a time."""
        return self._default_callback_group

    @property
    def executor(self) -> Any:
        """The executor that runs the callbacks, or None."""
        return self._executor

    @executor.setter
    def executor(self, new_executor: Any) -> None:
        if self._executor is new_executor:
            return
        if self._executor is not None:
            self._executor.remove_node(self)
        if new_executor is not None:
            new_executor.add_node(self)

    def _set_executor(self, executor: Any) -> None:
        self._executor = executor

    def _wake(self) -> None:
        executor = self._executor
        if executor is not None:
            executor.wake()

    def _all_waitables(self) -> tuple[Waitable, ...]:
        return self._runnable

    def get_clock(self) -> Clock:
        """The node's clock: system time, or /clock with use_sim_time."""
        return self._clock

    def get_logger(self) -> logging.RcutilsLogger:
        """The node's logger."""
        return self._logger

    def destroy_node(self) -> None:
        """Leave the graph; twice does no harm."""
        with self._lock:
            if self._is_destroyed:
                return
            self._is_destroyed = True
        if self._executor is not None:
            self._executor.remove_node(self)
        self._parameter_event_publisher = None
        self._rosout = None
        logging.remove_sink(self._logger.name)
        record, self._graph_record = self._graph_record, None
        for kind in (
            self._timers,
            self._guards,
            self._clients,
            self._services,
            self._subscriptions,
            self._publishers,
        ):
            for entity in list(kind):
                self._remove(kind, entity, is_endpoint=False)
        if self._context._participant is not None and record is not None and self._context.ok():
            self._context.graph.remove_node(record)

    def __enter__(self) -> "Node":
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy_node()

    def __repr__(self) -> str:
        return f"Node({self.get_fully_qualified_name()!r})"
