"""docs/why-is-nothing-shown.md: what it quotes is said, and what it tells to set can be set."""

import re
from pathlib import Path

import pytest

from human3r.config import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "why-is-nothing-shown.md").read_text()
SOURCES = [ROOT / "src", ROOT / "ros2_ws" / "src"]
QUOTED = re.findall(r"\*\*`([^`]+)`\*\*", PAGE)
DOTTED = re.findall(r"`([a-z_]+\.[a-z_]+)(?::[^`]*)?`", PAGE)


def spoken() -> str:
    """All texts of the programs, joined as Python joins adjacent ones."""
    files = [path for root in SOURCES for path in root.rglob("*.py") if "tests" not in path.parts]
    text = "\n".join(path.read_text() for path in files)
    return re.sub(r'["\']\s*\n\s*f?["\']', "", text)


@pytest.mark.parametrize("quote", QUOTED)
def test_what_is_quoted_is_said(quote):
    parts = re.split(r"/[\w/]+| \.\.\. ?|\.\.\.|\d+", quote)
    text = spoken()
    for part in filter(None, (part.strip() for part in parts)):
        assert part in text, f"nobody says {part!r}"


@pytest.mark.parametrize("name", sorted(set(DOTTED)))
def test_what_is_to_be_set_can_be_set(name):
    files = (".md", ".rviz", ".yaml", ".py", ".json")
    if not f".{name.partition('.')[2]}".endswith(files) and not name.startswith(("human3r.",)):
        assert name in Settings.specs(), name


def test_there_are_rows():
    assert len(QUOTED) >= 7
    assert len(set(DOTTED)) >= 10
