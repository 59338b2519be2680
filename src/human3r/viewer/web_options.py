"""The options of commands that show what they do in a live page."""

import argparse
from typing import Any

from human3r.config import Settings

DEFAULT_PORT = 8080


def add_web_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--web`` and ``--web-host``: the settings ``web.port`` and ``web.host``."""
    parser.add_argument(
        "--web",
        dest="web.port",
        nargs="?",
        type=int,
        const=DEFAULT_PORT,
        metavar="PORT",
        help="show people, scene and camera live in the browser, on this port; 0: any that is "
        f"free (without PORT: {DEFAULT_PORT})",
    )
    parser.add_argument(
        "--web-host", dest="web.host", metavar="H", help=Settings.spec("web.host").help
    )


def web_flags(args: argparse.Namespace) -> dict[str, Any]:
    """The options as values of settings; None where not given."""
    return {name: getattr(args, name) for name in ("web.port", "web.host")}
