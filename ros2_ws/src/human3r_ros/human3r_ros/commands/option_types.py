"""Types of command line options: argparse refuses what is out of range, before anything starts."""

import argparse
import re

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


def topic_name(text: str) -> str:
    """A topic as ROS 2 allows it: tokens between slashes, absolute, relative or private (~/)."""
    tokens = text.removeprefix("~/").removeprefix("/").split("/")
    if len(text) > _MAX_NAME or not all(_TOKEN.fullmatch(token) for token in tokens):
        raise argparse.ArgumentTypeError(
            f"{text[:60]!r} is no topic name; expected letters, digits and underscores between "
            f"slashes, no part of which begins with a digit, at most {_MAX_NAME} characters, for "
            "example /camera/image_raw"
        )
    return text


def node_name(text: str) -> str:
    """A name of a node as ROS 2 allows it."""
    if len(text) > _MAX_NAME or not _TOKEN.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text[:60]!r} is no name of a node; expected letters, digits and underscores, not "
            f"beginning with a digit, at most {_MAX_NAME}, for example {_like(text, '_')}"
        )
    return text


def frame_id(text: str) -> str:
    """A frame that the node takes, without the leading slash of ROS 1; empty: not set."""
    name = frame_name(text)
    if not is_frame_name(name):
        raise argparse.ArgumentTypeError(
            f"{text[:60]!r} is no frame name; expected letters, digits, '_', '-', '.' or '/', for "
            "example camera_optical"
        )
    return name


def namespace(text: str) -> str:
    """A namespace as ROS 2 allows it."""
    tokens = text.strip("/").split("/")
    is_empty = not text.strip("/")
    if len(text) > _MAX_NAME or not (is_empty or all(map(_TOKEN.fullmatch, tokens))):
        raise argparse.ArgumentTypeError(
            f"{text[:60]!r} is no namespace; expected letters, digits and underscores between "
            f"slashes, no part of which begins with a digit, at most {_MAX_NAME} characters, for "
            f"example {_like(text)}"
        )
    return text


def _like(text: str, slash: str = "/") -> str:
    """The nearest name that is one, with ``slash`` between its parts."""
    parts = [re.sub(r"[^A-Za-z0-9_]+", "_", part)[:30] for part in text.split("/")[:4]]
    kept = [f"_{part}" if part[:1].isdigit() else part for part in parts if part.strip("_")]
    return slash.join(kept) or "robot1"


_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_NAME = 240
_YEAR_S = 31_536_000


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a number") from None
