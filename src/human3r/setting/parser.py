"""The command line of every program of human3r: argparse that says what was probably meant."""

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

_CHOICE = re.compile(r"invalid choice: '?(?P<word>[^' ]*)'? \(choose from (?P<known>.*)\)")
_WITH_UNKNOWN_OPTIONS = ("unrecognized arguments", "the following arguments are required")
_ALIKE = 0.6


class CommandParser(argparse.ArgumentParser):
    """Complains of an unknown option with the usage of its own command and a near one."""

    _words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As argparse, but nothing may stay unknown: a parent would show its usage, not ours.

        Raises:
            SystemExit: 2, after a message.
        """
        self._words = [str(word) for word in (sys.argv[1:] if args is None else args)]
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def _get_values(self, action: Any, arg_strings: list[str]) -> Any:
        """As argparse; an empty name, of a script's variable that is not set, is refused.

        ``Path("")`` would be the folder at hand, and "no such file" would name nothing.
        """
        is_command = action.nargs in (argparse.PARSER, argparse.REMAINDER)
        is_name = not action.option_strings and not is_command
        if is_name and any(not word.strip() for word in arg_strings):
            raise argparse.ArgumentError(
                action, "the name is empty; is a variable of your script not set?"
            )
        return super()._get_values(action, arg_strings)  # pyright: ignore[reportAttributeAccessIssue]

    def error(self, message: str) -> NoReturn:
        """Print usage, message and what was probably meant; exit with 2."""
        super().error("; ".join([message, *self._hints(message)]))

    def _hints(self, message: str) -> list[str]:
        choice = _CHOICE.search(message)
        if choice is not None:
            near = _nearest(choice["word"], re.findall(r"[\w.-]+", choice["known"]))
            return [f"did you mean {near}?"] if near else []
        if not message.startswith(_WITH_UNKNOWN_OPTIONS):
            return []
        hints = []
        for word in self._unknown_options():
            near = _nearest(f"--{word.lstrip('-')}", self._option_string_actions)
            hints.append(f"{word} is no option here" + (f", did you mean {near}?" if near else ""))
        return [*hints, f"`{self.prog} --help` lists them"] if hints else []

    def _unknown_options(self) -> list[str]:
        """Words that look like options; argparse lets long ones be shortened."""
        known = tuple(self._option_string_actions)
        words = self._words[: self._words.index("--")] if "--" in self._words else self._words
        names = [word.partition("=")[0] for word in words if re.match(r"--?[A-Za-z]", word)]
        return [
            name
            for name in names
            if not any(option.startswith(name) for option in known)
            # -n5 is a short option with its value.
            and not (name[1] != "-" and name[:2] in known)
        ]


def _nearest(word: str, known: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(word, list(known), 1, _ALIKE)), "")
