"""For every test of the repository: ROS 2 where it is sourced, and Ctrl-C as at a terminal."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client_library import is_ros_sourced

with contextlib.suppress(ImportError):  # Not every ROS 2 machine has it.
    import hypothesis

    # A busy machine is no fault of a test.
    hypothesis.settings.register_profile("patient", deadline=None)
    hypothesis.settings.load_profile("patient")

# Without ROS 2 the project brings these itself; with it they are packages that may be missing.
_OPTIONAL = ("hri_msgs", "people_msgs", "vision_msgs", "human3r_lab")
_FIRST = {"integration", "ros2_ws", "cli"}


class _MayBeSkipped(pytest.Module):
    """A test file that is skipped where a package is missing that not every machine has."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        try:
            return super().collect()
        except self.CollectError as error:
            missing = getattr(error.__cause__, "name", None) or ""
            if missing.partition(".")[0] in _OPTIONAL:
                pytest.skip(f"{missing} is not installed", allow_module_level=True)
            raise


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    """Files of the packages' tests, on a ROS 2 machine."""
    kind = _MayBeSkipped if is_ros_sourced() else pytest.Module
    return kind.from_parent(parent, path=module_path)


def _is_late(item: pytest.Item) -> bool:
    """False for the folders of tests that start processes: few tests, which take long."""
    return not _FIRST & set(item.nodeid.split("/"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of several workers, none begins what takes long as the last: the others would wait for it.

    Tests marked ``ros`` run where a ROS 2 is sourced, and say elsewhere that it is missing.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=_is_late)
    marked = [item for item in items if item.get_closest_marker("ros")]
    if marked and not is_ros_sourced():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a sourced ROS 2"))


def pytest_configure(config: pytest.Config) -> None:
    """Take SIGINT and SIGHUP back from a shell or nohup that ignores them in the background.

    An ignored signal is handed on to child processes, so tests that send one would wait for ever;
    a handler is not handed on, and children start with the system's default.
    """
    with contextlib.suppress(ValueError):  # Signals belong to the main thread alone.
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            signal.signal(signal.SIGHUP, lambda *_: None)  # Still ignored here.
