"""Subcommands of ``human3r`` that come with the laboratory."""

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from human3r.errors import InputError
from human3r.setting import CommandParser


def run_command(name: str, add_parser: Callable[[Any], None], argv: Sequence[str]) -> int:
    """Parse and run one subcommand.

    Args:
        name: as it stands behind ``human3r``.
        add_parser: adds it to the parsers that argparse makes.
        argv: what stands behind its name.

    Returns:
        The exit code.
    """
    parser = CommandParser(prog="human3r")
    add_parser(parser.add_subparsers())
    # Tracebacks are the business of whoever called; the flag may stand behind the command too.
    args = parser.parse_args([name, *(word for word in argv if word != "--debug")])
    return args.run(args)


def check_folder(path: str | Path, expected: str) -> None:
    """Nothing, when a folder is there; said before benchmarks and PyTorch are loaded for seconds.

    Raises:
        InputError: there is none.
    """
    if not Path(path).is_dir():
        seen = "is no folder" if Path(path).exists() else "no such folder"
        raise InputError(f"{path}: {seen}; expected {expected}. Check the path.")


def parse_size(text: str) -> tuple[int, int]:
    """Width and height in pixels, of ``WIDTHxHEIGHT``; for argparse."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text}: expected WIDTHxHEIGHT, for example 640x480")
    return int(match[1]), int(match[2])
