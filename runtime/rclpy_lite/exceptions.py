"""The exceptions of rclpy, under its names."""


class RCLError(RuntimeError):
    """The middleware refused an operation."""


class InvalidHandle(Exception):
    """An entity was used after it was destroyed."""


class NotInitializedException(Exception):
    """``rclpy.init()`` has not been called, or shutdown has."""

    def __init__(self, *args: object) -> None:
        super().__init__("rclpy.init() has not been called", *args)


class NoTypeSupportImportedException(Exception):
    """Kept for code that names it; our message classes need no compiled type support."""


class ExternalShutdownException(Exception):
    """The context was shut down from outside (a signal, another thread) while spinning."""

    def __init__(self) -> None:
        super().__init__("The context was shut down while spinning")


class ShutdownException(Exception):
    """The executor was shut down while it was spinning."""

    def __init__(self) -> None:
        super().__init__("Executor was shut down while spinning")


class TimeoutException(Exception):
    """Nothing became ready in the time given."""


class ConditionReachedException(Exception):
    """The condition that spinning waited for became true."""


class ExecutorError(RuntimeError):
    """An executor was used in a way it does not allow."""


class InvalidTopicNameException(Exception):
    """A topic or service name breaks ROS 2's rules."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"Invalid topic or service name '{name}': {reason}")


class InvalidNodeNameException(Exception):
    """A node name breaks ROS 2's rules."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"Invalid node name '{name}': {reason}")


class InvalidNamespaceException(Exception):
    """A namespace breaks ROS 2's rules."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"Invalid namespace '{name}': {reason}")


class ParameterException(Exception):
    """Base of the parameter errors."""

    def __init__(self, message: str, parameters: object) -> None:
        super().__init__(message, parameters)


class ParameterNotDeclaredException(ParameterException):
    """A parameter was used that was not declared."""

    def __init__(self, parameters: object) -> None:
        super().__init__("Invalid access to undeclared parameter(s)", parameters)


class ParameterAlreadyDeclaredException(ParameterException):
    """A parameter was declared twice."""

    def __init__(self, parameters: object) -> None:
        super().__init__("Parameter(s) already declared", parameters)


class ParameterUninitializedException(ParameterException):
    """A statically typed parameter was read before it had a value."""

    def __init__(self, parameters: object) -> None:
        super().__init__("The parameter is not initialized", parameters)


class ParameterImmutableException(ParameterException):
    """A read-only parameter was undeclared."""

    def __init__(self, parameters: object) -> None:
        super().__init__("Attempted to modify read-only parameter(s)", parameters)


class InvalidParameterException(ParameterException):
    """A parameter name is not usable."""

    def __init__(self, parameters: object) -> None:
        super().__init__("Invalid parameter name", parameters)


class InvalidParameterTypeException(ParameterException):
    """A value has another type than the parameter was declared with."""

    def __init__(self, parameter: object, expectation: str) -> None:
        super().__init__(
            f"Trying to set parameter '{parameter}' with a value of the wrong type; {expectation}",
            parameter,
        )


class InvalidParameterValueException(ParameterException):
    """A value was refused by a range or a callback."""

    def __init__(self, parameter: str, value: object, reason: str) -> None:
        super().__init__(
            f"Invalid parameter value ({value}) for parameter '{parameter}': {reason}", parameter
        )


class InvalidServiceNameException(InvalidTopicNameException):
    """A service name breaks ROS 2's rules."""


class ROSInterruptException(Exception):
    """Sleeping was interrupted by shutdown."""

    def __init__(self) -> None:
        super().__init__("rclpy.shutdown() has been called")


class InvalidTypeSupportException(Exception):
    """A type was expected to be a ROS message or service class and is not."""
