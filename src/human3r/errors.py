"""The error classes of human3r.

Every message says three things: what was seen, what was expected, and what to do about it.
"""


class Human3RError(Exception):
    """Base of every error that human3r raises on purpose."""


class ConfigError(Human3RError):
    """A setting is unknown, out of range, or contradicts another one."""


class WeightsError(Human3RError):
    """A weights file is missing, damaged, hostile, or of another network."""


class BodyModelError(Human3RError):
    """A body model file is missing, damaged, hostile, or of another layout."""


class InputError(Human3RError, ValueError):
    """An image, video, folder, bag or argument cannot be used as given."""


class ShapeError(InputError):
    """An array has the wrong shape or type.

    Attributes:
        expected: what was asked for, in words or as a shape.
        actual: what was given.
    """

    def __init__(self, message: str, expected: object = None, actual: object = None) -> None:
        super().__init__(message)
        self.expected = expected
        self.actual = actual


class StreamOrderError(InputError):
    """A frame is not newer than the last one, or does not belong to this stream."""


class NonFiniteError(Human3RError):
    """The network answered with NaN or infinity; the recurrent state was left as before."""


class DeviceError(Human3RError):
    """The requested device is absent or failed."""


class MissingExtraError(Human3RError):
    """A feature needs a package that is not installed; the message names it."""


class OutputError(Human3RError):
    """A result cannot be written where it was asked for."""
