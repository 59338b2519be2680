"""The command ``human3r``: one file per subcommand beside this one.

Subcommands load what they need when they run, so help comes at once.
"""

import argparse
import contextlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from human3r.errors import Human3RError

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130
"""Exit codes besides 0."""

COMMANDS = (
    "run",
    "live",
    "play",
    "record",
    "demo",
    "weights",
    "body",
    "synth",
    "train",
    "evaluate",
    "dump",
    "doctor",
    "settings",
)
"""Modules of this package, in the order in which help lists them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments without the program's name; those of the process by default.

    Returns:
        The exit code: 0 done, 1 failed, 130 interrupted. Wrong use exits with 2.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = _parse(arguments)
    _set_up_logging(args.debug)
    _end_on_sigterm()
    try:
        return args.run(args)
    except Human3RError as error:
        if args.debug:
            traceback.print_exc()
        print(f"human3r: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("human3r: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left; Python would complain once more at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if args.debug:
            traceback.print_exc()
        print(
            f"human3r: unexpected {type(error).__name__}: {error}. This is a fault of human3r; "
            "run again with --debug and report it.",
            file=sys.stderr,
        )
    return FAILED


def _end_on_sigterm() -> None:
    """Let SIGTERM unwind as Ctrl-C does, so that half-written files are removed."""

    def end(number: int, frame: object) -> None:
        sys.exit(128 + number)

    with contextlib.suppress(ValueError):  # Signals belong to the main thread alone.
        signal.signal(signal.SIGTERM, end)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
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
    return parser


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = build_parser()
    place = next((i for i, word in enumerate(arguments) if not word.startswith("-")), None)
    known = arguments
    if place is not None and arguments[place] in ("live", "play", "record", "demo"):
        # These have a command line of their own, in human3r_ros.
        known = arguments[: place + 1]
    elif place is not None and "--debug" in arguments:
        # Accepted behind the command too, where people type it.
        known = ["--debug", *(word for word in arguments if word != "--debug")]
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
