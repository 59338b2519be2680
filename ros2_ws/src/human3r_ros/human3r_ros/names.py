"""Names that ROS 2 allows, as types of command line options and of remappings."""

import argparse
import re

_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_NAME = 240


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
