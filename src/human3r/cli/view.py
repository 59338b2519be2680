"""``human3r view``: a result in the browser, to turn and to play."""

import argparse
import threading
from contextlib import suppress
from typing import Any

from human3r.cli.export import add_result_options, checked_share
from human3r.errors import InputError, MissingExtraError

DEFAULT_PORT = 8080
MAX_POINTS = 400_000


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "view",
        help="look at a result in the browser",
        description="Serves a page with people, scene and camera of a `human3r run`, or of a bag, "
        "until Ctrl-C. Only this machine can open it unless --host says otherwise.",
    )
    add = parser.add_argument
    add_result_options(parser)
    add("--port", type=int, default=DEFAULT_PORT, help="of the page; 0: any (%(default)s)")
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen at; 0.0.0.0 shows the page to everybody in your network "
        "(%(default)s)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand.

    Raises:
        InputError: no result, or a port that does not exist.
        MissingExtraError: viser is not installed.
        BodyModelError: another body model than the run's.
    """
    if not 0 <= args.port <= 65535:
        raise InputError(f"--port is {args.port}; expected 0 to 65535.")
    from human3r.export.open_result import find_result

    find_result(args.result)
    share = checked_share(args)
    try:
        from human3r.export.web import serve
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("human3r"):
            raise
        raise MissingExtraError(
            f"human3r view needs the package {error.name}, which is not installed; expected the "
            "extra 'web'. Install it with: pip install 'human3r[web]'"
        ) from error
    with suppress(KeyboardInterrupt):
        serve(
            args.result,
            host=args.host,
            port=args.port,
            max_points=MAX_POINTS,
            min_share=share,
            body_model=args.body_model,
            topic=args.topic,
            session=args.session,
            stop=threading.Event(),
            ready=lambda address: print(f"{address}   (Ctrl-C ends it)", flush=True),
        )
    return 0
