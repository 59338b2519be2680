"""Settings as YAML: files of sections, and ROS 2 parameter files."""

from pathlib import Path
from typing import Any

from human3r.errors import ConfigError
from human3r.setting.declaration import Declared, as_text, describe_range

_MAX_BYTES = 1_000_000
_MAX_NAMES = 10_000
_MAX_DEPTH = 8
"""``qos_overrides./camera/image.subscription.depth`` is the deepest name of a ROS parameter."""
_ROS = "ros__parameters"


def load_yaml(path: str | Path, node: str = "human3r") -> dict[str, Any]:
    """Dotted names and values from a YAML file of sections.

    A ROS 2 parameter file is accepted too: what it holds for ``node`` and for all nodes is taken;
    where it is for one node alone, that node's, whatever its name.

    Args:
        path: the file.
        node: name of the node whose parameters are wanted.

    Raises:
        ConfigError: unreadable file, not a mapping, or parameters of other nodes only.
    """
    document = _read(path)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected a mapping of sections, got {type(document).__name__}.")
    parts = list(document.values())
    if parts and all(isinstance(part, dict) and set(part) == {_ROS} for part in parts):
        return _of_node(document, node, path)
    return _flat(document, path)


def _read(path: str | Path) -> Any:
    import yaml

    if not Path(path).is_file():
        raise ConfigError(f"{path}: no such file; expected YAML settings. Check the path.")
    try:
        with Path(path).open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES} bytes")
        return yaml.safe_load(text.decode("utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path}: cannot be read as YAML settings: {error}. `human3r settings` prints an "
            "example."
        ) from error


def _of_node(document: dict, node: str, path: str | Path) -> dict[str, Any]:
    """What a ROS parameter file holds for one node; later entries win."""
    if len(document) == 1:
        names = list(document)
    else:
        names = [name for name in document if str(name).rsplit("/", 1)[-1] in (node, "**")]
    if not names:
        raise ConfigError(
            f"{path}: parameters of {', '.join(map(str, document))[:200]}; expected those of "
            f"{node} or /**. Name the node."
        )
    merged: dict[str, Any] = {}
    for name in names:
        merged.update(_flat(document[name][_ROS] or {}, path))
    return merged


def _flat(document: Any, path: str | Path) -> dict[str, Any]:
    """Nested mappings as dotted names."""
    flat: dict[str, Any] = {}
    waiting = [("", document, 0)]
    visited = 0
    while waiting:
        prefix, content, depth = waiting.pop()
        # YAML's aliases can repeat a mapping without end; no real file has that many settings.
        visited += len(content) if isinstance(content, dict) else 1
        if depth > _MAX_DEPTH or visited > _MAX_NAMES:
            raise ConfigError(
                f"{path}: more than {_MAX_NAMES} names or {_MAX_DEPTH} levels; expected sections "
                "of settings. `human3r settings` prints an example."
            )
        if isinstance(content, dict):
            inner = [(f"{prefix}{key}", value, depth + 1) for key, value in content.items()]
            waiting += [(n + "." if isinstance(v, dict) else n, v, d) for n, v, d in inner[::-1]]
        elif content is not None or "." in prefix:
            # A section of which everything is commented out has no content.
            flat[prefix] = content
    return flat


def dump_yaml(settings: Declared, *, with_help: bool = False) -> str:
    """The settings as YAML text that ``load_yaml`` reads back."""
    lines: list[str] = []
    values = settings.flat()
    current = ""
    for name, spec in settings.specs().items():
        head, dot, key = name.partition(".")
        if dot and head != current:
            lines.append(f"{head}:")
        current = head
        indent = "  " if dot else ""
        if with_help:
            lines.append(f"{indent}# {spec.help} {describe_range(spec)}".rstrip())
        lines.append(indent + _line(key or head, values[name]))
    return "\n".join(lines) + "\n"


def _line(key: str, value: Any) -> str:
    import yaml

    if isinstance(value, tuple):
        return f"{key}: {as_text(value)}"
    return yaml.safe_dump({key: value}, default_flow_style=False).strip()
