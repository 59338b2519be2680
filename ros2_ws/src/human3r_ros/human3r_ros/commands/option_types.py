"""Types of command line options: argparse refuses what is out of range, before anything starts."""

import argparse

from human3r.camera.calibration import frame_name, is_frame_name


def positive(text: str) -> float:
    """A number above 0 with which times can be reckoned."""
    value = _number(text)
    if not 1e-6 <= value <= 1e9:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number from 1e-6 to 1e9")
    return value


def seconds(text: str) -> float:
    """A finite time in seconds, at least 0 and at most a year."""
    value = _number(text)
    if not 0 <= value <= _YEAR_S:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0 to {_YEAR_S}")
    return value


def field_of_view_deg(text: str) -> float:
    """An angle that a pinhole camera can have."""
    value = _number(text)
    if not 1 <= value <= 170:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 170 degrees")
    return value


def count(text: str) -> int:
    """A whole number from 1."""
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 9 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 to 999999999")
    return int(text)


def frame_id(text: str) -> str:
    """A frame that the node takes, without the leading slash of ROS 1; empty: not set."""
    name = frame_name(text)
    if not is_frame_name(name):
        raise argparse.ArgumentTypeError(
            f"{text[:60]!r} is no frame name; expected letters, digits, '_', '-', '.' or '/', for "
            "example camera_optical"
        )
    return name


_YEAR_S = 31_536_000


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a number") from None
