"""Runs launch files where ROS 2's launch is absent: every name of it makes a plain object."""

import runpy
import sys
import types

MODULES = (
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


class Made:
    """Any object of a launch description: what it is, and what it was made of."""

    def __init__(self, name, args, kwargs):
        self.name, self.args, self.kwargs = name, args, kwargs

    def perform(self, context):
        return context[self.args[0]]

    def run(self, context):
        """The actions of an OpaqueFunction."""
        made = self.kwargs["function"](context, **self.kwargs.get("kwargs", {}))
        return [action for entity in made for action in entity.flat(context)]

    def flat(self, context):
        return self.run(context) if self.name == "OpaqueFunction" else [self]


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


def starter(monkeypatch):
    """A function that runs a launch file with arguments: declared arguments, actions, context."""
    for name in MODULES:
        monkeypatch.setitem(sys.modules, name, Anything(name))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "_node_actions", None)
    monkeypatch.delitem(sys.modules, "_node_actions")

    def start(path, **given):
        sys.modules.pop("_node_actions", None)
        (entities,) = runpy.run_path(str(path))["generate_launch_description"]().args
        declared = {e.args[0]: e.kwargs for e in entities if e.name == "DeclareLaunchArgument"}
        for name, value in given.items():
            assert value in declared[name].get("choices", [value])
        context = {name: options.get("default_value") for name, options in declared.items()}
        context |= given
        actions = [
            a for e in entities if e.name != "DeclareLaunchArgument" for a in e.flat(context)
        ]
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
