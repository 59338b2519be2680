"""Definitions of messages and services: one rosbags type store for the process.

Definitions come from, in this order: the rosbags store for ROS 2 Jazzy, directories added with
`add_package`, the official definitions bundled here (those rosbags leaves out, mostly services),
and ``<prefix>/share/<package>/{msg,srv}`` for the prefixes of AMENT_PREFIX_PATH and sys.prefix.
"""

import os
import re
import sys
import threading
from pathlib import Path
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.base import TypesysError
from rosbags.typesys.msg import MSGParser

lock = threading.RLock()
"""Guards the store and the class caches built on it."""

_bundled = Path(__file__).with_name("definitions")
_added: dict[str, list[Path]] = {}
_loaded: set[str] = set()
_services: set[str] = set()
_unsupported: dict[str, str] = {}
_defaults: dict[str, dict[str, Any]] = {
    # The store keeps no default values; this is the only one among the packages it knows.
    "geometry_msgs/msg/Quaternion": {"w": 1.0},
}


class UnknownTypeError(LookupError):
    """No definition was found for a message or service type."""


def _char_is_uint8(descriptor: Any) -> Any:
    # ROS 2 maps char of a .msg file to uint8 of IDL, and the type hash is taken from the IDL.
    kind, rest = descriptor
    if kind == Nodetype.BASE:
        return (kind, ("uint8", 0)) if rest[0] == "char" else descriptor
    return descriptor if kind == Nodetype.NAME else (kind, (_char_is_uint8(rest[0]), rest[1]))


def _without_char(fields: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [(name, _char_is_uint8(descriptor)) for name, descriptor in fields]


def _make_store() -> Any:
    made = get_typestore(Stores.ROS2_JAZZY)
    for name, (constants, fields) in made.fielddefs.items():
        made.fielddefs[name] = (constants, _without_char(fields))
    gid_size = 24 if os.environ.get("ROS_DISTRO") in ("foxy", "galactic", "humble") else 16
    made.fielddefs["rmw_dds_common/msg/Gid"] = (
        [],
        [("data", (Nodetype.ARRAY, ((Nodetype.BASE, ("uint8", 0)), gid_size)))],
    )
    return made


typestore = _make_store()


def add_package(name: str, directory: str | os.PathLike[str]) -> None:
    """Use ``directory`` (with ``msg/`` and ``srv/`` inside) as definitions of package ``name``."""
    with lock:
        known = _added.setdefault(name, [])
        path = Path(directory)
        if path not in known:
            known.append(path)
            _loaded.discard(name)


def _directories(package: str) -> list[Path]:
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    shares = [Path(p) / "share" / package for p in [*prefixes, sys.prefix]]
    return [*_added.get(package, []), _bundled / package, *shares]


def _register_message(name: str, text: str, parse_as: str | None = None) -> None:
    parse_as = parse_as or name
    fields = MSGParser(f"MSG: {parse_as}\n{text}").specification()[0].fields
    defaults = {field.name: field.value for field in fields if field.value is not None}
    constants, descriptors = get_types_from_msg(text, parse_as)[parse_as]
    typestore.register({name: (constants, _without_char(descriptors))})
    if defaults:
        _defaults[name] = defaults


def _register_service(name: str, text: str) -> None:
    package, _, short = name.split("/")
    parts = re.split(r"(?m)^---[ \t]*$", text)
    if len(parts) != 2:
        raise TypesysError(f"{name}: expected one line '---' between request and response.")
    for part, suffix in zip(parts, ("Request", "Response"), strict=True):
        # Parsed as if it were a message, so that names without a package mean <package>/msg.
        _register_message(
            f"{name}_{suffix}", part.strip("\n") + "\n", f"{package}/msg/{short}_{suffix}"
        )
    request, response = ((Nodetype.NAME, f"{name}_{s}") for s in ("Request", "Response"))
    info = (Nodetype.NAME, "service_msgs/msg/ServiceEventInfo")
    event = [
        ("info", info),
        ("request", (Nodetype.SEQUENCE, (request, 1))),
        ("response", (Nodetype.SEQUENCE, (response, 1))),
    ]
    whole = [
        ("request_message", request),
        ("response_message", response),
        ("event_message", (Nodetype.NAME, f"{name}_Event")),
    ]
    typestore.register({f"{name}_Event": ([], event), name: ([], whole)})
    _services.add(name)


def _load_file(name: str, path: Path) -> None:
    try:
        text = path.read_text(encoding="utf-8")
        if "wstring" in re.sub(r"#.*", "", text):
            _unsupported[name] = "wstring fields"
            return
        if path.suffix == ".msg":
            _register_message(name, text)
        else:
            _register_service(name, text)
    except (OSError, UnicodeDecodeError, TypesysError) as error:
        raise TypesysError(
            f"{path}: not a usable definition of {name}: {error}. Correct the file."
        ) from error


def load_package(package: str) -> None:
    """Read every definition of ``package`` that the store does not hold yet."""
    with lock:
        if package in _loaded:
            return
        for directory in _directories(package):
            for kind in ("msg", "srv"):
                for path in sorted(directory.glob(f"{kind}/*.{kind}")):
                    name = f"{package}/{kind}/{path.stem}"
                    if name not in typestore.fielddefs:
                        _load_file(name, path)
        _loaded.add(package)


def find(typename: str) -> bool:
    """True when ``package/msg/Name`` or ``package/srv/Name`` is defined, with all it contains."""
    with lock:
        if typename not in typestore.fielddefs:
            load_package(typename.split("/")[0])
        return typename in typestore.fielddefs


def fields_of(typename: str) -> list[tuple[str, Any]]:
    """Field names with rosbags' descriptors.

    Raises:
        UnknownTypeError: no definition was found.
        NotImplementedError: it has fields of a kind that is not supported.
    """
    if not find(typename):
        if typename in _unsupported:
            raise NotImplementedError(f"{typename}: {_unsupported[typename]}")
        package = typename.split("/")[0]
        raise UnknownTypeError(
            f"{typename}: no definition found; expected it in the rosbags store or as "
            f"<prefix>/share/{typename}.{typename.split('/')[1]} below AMENT_PREFIX_PATH. Install "
            f"the package, or name its source directory with "
            f"rclpy_lite.messages.add_package({package!r}, directory)."
        )
    return typestore.fielddefs[typename][1]


def constants_of(typename: str) -> list[tuple[str, str, Any]]:
    """Constants as (name, base type, value)."""
    return typestore.fielddefs[typename][0]


def defaults_of(typename: str) -> dict[str, Any]:
    """Default values written in the definition, by field."""
    return _defaults.get(typename, {})


def type_hash(typename: str) -> str:
    """The RIHS01 hash of a message or a whole service, as in ROS 2 Iron and later."""
    with lock:
        require_tree(typename)
        return typestore.hash_rihs01(typename)


def require_tree(typename: str, seen: set[str] | None = None) -> None:
    """Load the definition of ``typename`` and of everything inside it."""
    seen = set() if seen is None else seen
    if typename in seen:
        return
    seen.add(typename)
    for _, descriptor in fields_of(typename):
        inner = descriptor if descriptor[0] in (Nodetype.BASE, Nodetype.NAME) else descriptor[1][0]
        if inner[0] == Nodetype.NAME:
            require_tree(inner[1], seen)


def is_service(typename: str) -> bool:
    """True when ``typename`` is a whole service."""
    return find(typename) and typename in _services


def names_in(package: str, kind: str) -> list[str]:
    """Short names of the messages (``kind`` msg) or services (``srv``) of a package."""
    with lock:
        load_package(package)
        prefix = f"{package}/{kind}/"
        names = [n for n in typestore.fielddefs if n.startswith(prefix)]
        if kind == "srv":
            names = [n for n in names if n in _services]
        return sorted(n.removeprefix(prefix) for n in names)
