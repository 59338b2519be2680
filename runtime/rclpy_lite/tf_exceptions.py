"""The exceptions of tf2, under its names."""


class TransformException(Exception):
    """Base of what a transform look-up can raise."""


class LookupException(TransformException):
    """A frame is unknown."""


class ConnectivityException(TransformException):
    """Two frames are not connected."""


class ExtrapolationException(TransformException):
    """The requested time is not in the buffer."""


class InvalidArgumentException(TransformException):
    """Unusable frame names or numbers."""


class TimeoutException(TransformException):
    """Nothing came in time."""
