"""One line of the report of ``human3r doctor``."""

from dataclasses import dataclass

OK, NOTE, FAIL = "ok", "note", "FAIL"


@dataclass(frozen=True)
class Check:
    """What was looked at, how it is, and what to do about it."""

    part: str
    state: str
    """ok, note (works without), or FAIL (the basics do not work)."""
    seen: str
    advice: str = ""
