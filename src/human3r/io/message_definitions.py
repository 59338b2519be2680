"""Definitions of ROS messages that are installed on this machine, for bags that lack them."""

import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore


def register_type(typestore: Any, typename: str) -> None:
    """Make a type and everything inside it known to a store of ``rosbags``.

    The definitions are those that ROS 2's packages install, and of rosbags for what they do not.

    Args:
        typestore: that is to know it; what it knows stays.
        typename: for example ``sensor_msgs/msg/Image``.

    Raises:
        LookupError: neither has it.
    """
    if typename in typestore.fielddefs:
        return
    found = _definition(typename)
    typestore.register({typename: found})
    for _, descriptor in found[1]:
        inner = descriptor if descriptor[0] in (Nodetype.BASE, Nodetype.NAME) else descriptor[1][0]
        if inner[0] == Nodetype.NAME:
            register_type(typestore, inner[1])


def _definition(typename: str) -> Any:
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    for prefix in filter(None, prefixes):
        path = Path(prefix) / "share" / f"{typename}.msg"
        if path.is_file():
            return get_types_from_msg(path.read_text(encoding="utf-8"), typename)[typename]
    if typename in (known := _jazzy()):
        return known[typename]
    raise LookupError(
        f"{typename}: no definition is known here; expected share/{typename}.msg below a prefix of "
        "AMENT_PREFIX_PATH. Install its package, or source the workspace that has it."
    )


@cache
def _jazzy() -> dict[str, Any]:
    return get_typestore(Stores.ROS2_JAZZY).fielddefs
