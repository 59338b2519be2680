"""Import aliases, so that code written for ROS 2 runs unchanged."""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence
from typing import Any

_COMPAT = {
    "tf2_ros": "rclpy_lite.compat.tf2_ros",
    "tf2_ros.buffer": "rclpy_lite.tf",
    "tf2_ros.transform_listener": "rclpy_lite.tf",
    "tf2_ros.transform_broadcaster": "rclpy_lite.tf",
    "tf2_ros.static_transform_broadcaster": "rclpy_lite.tf",
    "cv_bridge": "rclpy_lite.compat.cv_bridge",
    "cv_bridge.core": "rclpy_lite.compat.cv_bridge",
    "sensor_msgs_py": "rclpy_lite.compat.sensor_msgs_py",
    "sensor_msgs_py.point_cloud2": "rclpy_lite.compat.point_cloud2",
    "tf_transformations": "rclpy_lite.compat.tf_transformations",
    "rclpy": "rclpy_lite",
    "rclpy.qos_event": "rclpy_lite.event_handler",
    "rclpy.handle": "rclpy_lite.exceptions",
    "rclpy.topic_endpoint_info": "rclpy_lite.graph",
    "rclpy._rclpy_pybind11": "rclpy_lite.exceptions",
}
_KINDS = ("msg", "srv")


class _SameModule(importlib.abc.Loader):
    """Gives a module of ours a second name."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._spec: Any = None

    def create_module(self, spec: Any) -> types.ModuleType:
        module = importlib.import_module(self._target)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        # The import system has just overwritten it; relative imports would be confused.
        module.__spec__ = self._spec


class _PackageLoader(importlib.abc.Loader):
    """An empty package, whose parts are found by the finder."""

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        module.__path__ = []  # type: ignore[attr-defined]


class _DefinitionLoader(importlib.abc.Loader):
    """``package.msg`` or ``package.srv``, with classes made when they are asked for."""

    def __init__(self, package: str, kind: str) -> None:
        self._package = package
        self._kind = kind

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        from rclpy_lite.messages import classes, store

        package, kind = self._package, self._kind
        get = classes.get_message if kind == "msg" else classes.get_service

        def find(name: str) -> Any:
            typename = f"{package}/{kind}/{name}"
            if name.startswith("_"):
                raise AttributeError(name)
            if kind == "srv" and name.endswith(("_Request", "_Response", "_Event")):
                found = classes.get_message(typename) if store.find(typename) else None
            else:
                found = get(typename) if store.find(typename) else None
            if found is None:
                raise AttributeError(
                    f"module '{package}.{kind}' has no attribute {name!r}; no definition "
                    f"{typename}.{kind} was found."
                )
            setattr(module, name, found)
            return found

        module.__getattr__ = find  # type: ignore[attr-defined]
        module.__all__ = store.names_in(package, kind)  # type: ignore[attr-defined]
        module.__dir__ = lambda: module.__all__  # type: ignore[attr-defined, method-assign]


class AliasFinder(importlib.abc.MetaPathFinder):
    """Asked last, so whatever is really installed wins."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The alias for ``fullname``, or None."""
        alias = self._alias(fullname)
        if alias is not None:
            loader: Any = _SameModule(alias)
            return importlib.machinery.ModuleSpec(fullname, loader, is_package=True)
        package, _, kind = fullname.partition(".")
        if kind and kind not in _KINDS:
            return None
        if not self._is_defined(package):
            return None
        loader = _DefinitionLoader(package, kind) if kind else _PackageLoader()
        return importlib.machinery.ModuleSpec(fullname, loader, is_package=not kind)

    @staticmethod
    def _alias(fullname: str) -> str | None:
        root = fullname.partition(".")[0]
        if root not in {name.partition(".")[0] for name in _COMPAT}:
            return None
        if root in sys.modules and fullname != root:
            # Below a real package nothing of ours may appear.
            origin = getattr(sys.modules[root], "__name__", "")
            if not origin.startswith("rclpy_lite"):
                return None
        if fullname in _COMPAT:
            return _COMPAT[fullname]
        if root == "rclpy":
            ours = "rclpy_lite" + fullname[len("rclpy") :]
            if importlib.util.find_spec(ours) is not None:
                return ours
        return None

    @staticmethod
    def _is_defined(package: str) -> bool:
        from rclpy_lite.messages import store

        known = any(name.startswith(f"{package}/") for name in store.typestore.fielddefs)
        if known:
            return True
        return any(
            (directory / kind).is_dir()
            for directory in store._directories(package)
            for kind in _KINDS
        )


class _PartFinder(AliasFinder):
    """Asked first, for parts of packages that are ours already.

    Python's path finder would find ``rclpy.qos`` in our own folder and load it a second time,
    with classes that are not those of ``rclpy_lite.qos``.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The alias for ``fullname``, or None."""
        root, _, part = fullname.partition(".")
        owner = getattr(sys.modules.get(root), "__name__", "")
        if not part or root == owner or not owner.startswith("rclpy_lite"):
            return None
        return super().find_spec(fullname, path, target)


_finder = AliasFinder()
_part_finder = _PartFinder()


def install() -> None:
    """Make ``rclpy``, ``tf2_ros``, ``cv_bridge``, message packages and so on importable.

    Only what is not installed is provided. Calling it again does nothing.
    """
    if _finder not in sys.meta_path:
        # Now and not in the finder, which would be asked for what this import looks for.
        importlib.import_module("rclpy_lite.messages.store")
        sys.meta_path.insert(0, _part_finder)
        sys.meta_path.append(_finder)
        importlib.invalidate_caches()
