"""Runs launch files where ROS 2's launch is absent: every name of it makes a plain object."""

import runpy
import sys
import types
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2]
PACKAGES = {path.parent.name: path.parent for path in SOURCES.glob("*/package.xml")}
MODULES = (
    "ament_index_python.packages",
    "launch",
    "launch.actions",
    "launch.event_handlers",
    "launch.events",
    "launch.launch_description_sources",
    "launch.substitutions",
    "launch_ros.actions",
    "launch_ros.event_handlers",
    "launch_ros.events.lifecycle",
    "launch_ros.substitutions",
    "lifecycle_msgs.msg",
)


ANSWERS = ("entities", "on_start", "on_exit")


class PackageNotFoundError(KeyError):
    """As ament_index_python has it."""


class Context:
    """What a launch context offers to functions."""

    is_shutdown = False

    def __init__(self, values):
        self.launch_configurations = values
        self.handlers = []

    def happens(self, event="OnStateTransition", *, result=None, **wanted):
        """The actions of all handlers of such an event, of whatever they registered at that time.

        Args:
            event: name of the handlers' class.
            result: what handlers that are functions get as the event.
            wanted: keyword arguments they were made with.
        """
        answers = []
        for handler in tuple(self.handlers):
            if handler.name == event and wanted.items() <= handler.kwargs.items():
                answer = next(handler.kwargs[k] for k in ANSWERS if k in handler.kwargs)
                made = answer(result, self) if callable(answer) else answer
                answers += [action for entity in made for action in entity.flat(self)]
        return answers

    def unregister_event_handler(self, handler):
        """As launch does it: an unknown handler is an error."""
        self.handlers.remove(handler)


class Made:
    """Any object of a launch description: what it is, and what it was made of."""

    def __init__(self, name, args, kwargs):
        self.name, self.args, self.kwargs = name, args, kwargs

    def perform(self, context):
        return text_of(context.launch_configurations[self.args[0]])

    def run(self, context):
        """The actions of an OpaqueFunction."""
        made = self.kwargs["function"](context, **self.kwargs.get("kwargs", {}))
        return [action for entity in made for action in entity.flat(context)]

    def flat(self, context):
        if self.name == "RegisterEventHandler":
            context.handlers.append(self.args[0])
        return self.run(context) if self.name == "OpaqueFunction" else [self]


def text_of(value):
    """A value as launch substitutes it."""
    if isinstance(value, Made):
        return str(PACKAGES[value.args[0]])
    return "".join(map(text_of, value)) if isinstance(value, list) else value


def make_prefix_finder(installed):
    """get_package_prefix of a machine with these packages; None: with every package."""

    def get_package_prefix(package):
        if installed is not None and package not in installed:
            raise PackageNotFoundError(package)
        return "/opt/ros/any"

    return get_package_prefix


class Anything(types.ModuleType):
    """A module whose every name makes objects."""

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        if name == "Transition":
            return types.SimpleNamespace(
                TRANSITION_CONFIGURE=1, TRANSITION_ACTIVATE=3, TRANSITION_DEACTIVATE=4
            )
        return lambda *args, **kwargs: Made(name, args, kwargs)


def starter(monkeypatch, installed=None):
    """A function that runs a launch file with arguments: declared arguments, actions, context.

    Its ``actions`` are those of the last file, also of one that failed half-way.

    Args:
        monkeypatch: puts the modules into place.
        installed: the packages that can be found; None: all.
    """
    for name in MODULES:
        monkeypatch.setitem(sys.modules, name, Anything(name))
    index = sys.modules["ament_index_python.packages"]
    index.PackageNotFoundError = PackageNotFoundError
    index.get_package_prefix = make_prefix_finder(installed)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "_node_actions", None)
    monkeypatch.delitem(sys.modules, "_node_actions")

    def start(path, **given):
        sys.modules.pop("_node_actions", None)
        (entities,) = runpy.run_path(str(path))["generate_launch_description"]().args
        declared = {e.args[0]: e.kwargs for e in entities if e.name == "DeclareLaunchArgument"}
        for name, value in given.items():
            assert value in declared[name].get("choices", [value])
        values = {name: options.get("default_value") for name, options in declared.items()}
        context = Context(values | given)
        start.actions = actions = []
        for entity in entities:
            if entity.name != "DeclareLaunchArgument":
                actions.extend(entity.flat(context))
        return declared, actions, context

    return start


def only(actions, **wanted):
    """The one action with these values, looked for among ``name`` and keyword arguments."""
    found = [
        action
        for action in actions
        if all(value in (action.name, action.kwargs.get(key)) for key, value in wanted.items())
    ]
    assert len(found) == 1, [action.name for action in actions]
    return found[0]
