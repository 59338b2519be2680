"""The command ``human3r``: one file per subcommand beside this one.

Subcommands load what they need when they run, so help comes at once.
"""

import argparse
import contextlib
import errno
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points

from human3r import plugins
from human3r.errors import Human3RError
from human3r.setting import CommandParser
from human3r.stopping import ending_signals

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130
NO_READER = 128 + signal.SIGPIPE
"""Exit codes besides 0."""

_REFUSALS = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ELOOP, errno.EROFS)

COMMANDS = (
    *("run", "multi", "calibrate", "view", "export", "refine", "batch"),
    *("bag", "weights", "body", "dump", "doctor", "settings"),
)
"""Modules of this package."""
_FROM_PLUGINS = {
    "live": "run the node on an image topic, without launch files",
    "play": "publish a video, folder or bag as an image topic",
    "record": "write topics into a rosbag2",
    "demo": "node, player and recorder together: bag, video and picture",
    "synth": "make a synthetic data set: people, scenes and cameras with their truth",
    "train": "teach a network from sequences with known truth",
    "evaluate": "measure errors on a benchmark, or compare two measurements",
}
"""Commands of human3r_ros and human3r_lab with their help, which is given without loading them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments without the program's name; those of the process by default.

    Returns:
        The exit code: 0 done, 1 failed, 130 interrupted, 141 when the reader of our output left,
        as a shell has it. Wrong use exits with 2.
    """
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except BrokenPipeError:
        return _end_without_reader()


def _main(arguments: list[str]) -> int:
    """As ``main``; a BrokenPipeError of standard output passes through."""
    try:
        args = _parse(arguments)
    except SystemExit:
        _flush()  # Help and version.
        raise
    _set_up_logging(args.debug)
    _end_on_sigterm()
    try:
        code = args.run(args)
        # Here and not at exit, where what goes wrong would be a traceback.
        _flush()
        return code
    except Human3RError as error:
        if args.debug:
            traceback.print_exc()
        print(f"human3r: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("human3r: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        if args.debug:
            traceback.print_exc()
        said = _refusal_of_the_system(error) or (
            f"unexpected {type(error).__name__}: {error}. This is a fault of human3r; run again "
            "with --debug and report it."
        )
        print(f"human3r: {said}", file=sys.stderr)
    return FAILED


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _end_without_reader() -> int:
    """Whoever read our output has left (`| head`): no word, and the status of SIGPIPE."""
    for stream in (sys.stdout, sys.stderr):
        # What is buffered still would be complained of once more at exit.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            try:
                stream.flush()
            except BrokenPipeError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return NO_READER


def _refusal_of_the_system(error: Exception) -> str:
    """What to say where the operating system refused, which is no fault of ours; else empty."""
    if not isinstance(error, OSError):
        return ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"what is printed cannot be written ({error.strerror}); expected space. Free some, or "
            "send it elsewhere."
        )
    if error.errno in _REFUSALS and error.filename:
        return (
            f"{str(error.filename)[:200]}: {error.strerror}; expected a path that can be used. "
            "Check its name, and your rights."
        )
    return ""


def _end_on_sigterm() -> None:
    """Let SIGTERM and SIGHUP unwind as Ctrl-C does, so that half-written files are removed."""

    def end(number: int, frame: object) -> None:
        sys.exit(128 + number)

    with contextlib.suppress(ValueError):  # Signals belong to the main thread alone.
        for number in ending_signals():
            if number != signal.SIGINT:
                signal.signal(number, end)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = CommandParser(
        prog="human3r",
        description="People as posed bodies, the scene in metres and the camera's pose from one "
        "RGB camera.",
        epilog="human3r COMMAND --help explains a command.",
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks and debug messages")
    parser.add_argument("--version", action="store_true", help="print the version and end")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name in COMMANDS:
        import_module(f"human3r.cli.{name}").add_parser(commands)
    for name, text in _plugin_commands().items():
        plugin = commands.add_parser(name, help=text, add_help=False)
        plugin.set_defaults(run=partial(_run_plugin, name))
    return parser


def _plugin_commands() -> dict[str, str]:
    """Name and help of every command that has a command line of its own, in another package."""
    others = {entry.name: "" for entry in entry_points(group=plugins.COMMANDS)}
    return {**_FROM_PLUGINS, **{name: "" for name in sorted(others) if name not in _FROM_PLUGINS}}


def _is_ours(command: str) -> bool:
    """Whether it is not another program's command line, which may have a --debug of its own."""
    return command in _FROM_PLUGINS or command not in _plugin_commands()


def _run_plugin(name: str, args: argparse.Namespace) -> int:
    return plugins.load_plugin(plugins.COMMANDS, name)(args.rest)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = build_parser()
    place = next((i for i, word in enumerate(arguments) if not word.startswith("-")), None)
    if place is not None and "--debug" in arguments and _is_ours(arguments[place]):
        # Accepted behind the command too, where people type it.
        rest = [word for word in arguments if word != "--debug"]
        arguments, place = ["--debug", *rest], 1 + rest.index(arguments[place])
    known = arguments
    if place is not None and arguments[place] in _plugin_commands():
        # These have a command line of their own.
        known = arguments[: place + 1]
    args = parser.parse_args(known)
    args.rest = arguments[place + 1 :] if place is not None else []
    if args.version:
        from human3r import __version__

        print(__version__)
        sys.exit(0)
    if args.run is None:
        parser.print_help(sys.stderr)
        sys.exit(WRONG_USE)
    return args


class _StderrHandler(logging.StreamHandler):
    """Looks stderr up for every message: a progress bar replaces it while it is shown."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self):  # type: ignore[override]
        return sys.stderr


def _set_up_logging(debug: bool) -> None:
    handler = _StderrHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    for existing in root.handlers[:]:
        if isinstance(existing, _StderrHandler):
            root.removeHandler(existing)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("human3r").setLevel(logging.DEBUG if debug else logging.INFO)


if __name__ == "__main__":
    sys.exit(main())
