"""docs/why-is-nothing-shown.md: what it quotes is said, and what it tells to set can be set."""

import json
import re
from pathlib import Path

import pytest
import yaml
from human3r_ros.outputs import TOPICS

from human3r.config import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "why-is-nothing-shown.md").read_text()
SOURCES = [ROOT / "src", ROOT / "ros2_ws" / "src"]
SHARE = ROOT / "ros2_ws" / "src" / "human3r_ros"
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


def test_displays_that_are_named_show_what_the_page_says():
    manager = yaml.safe_load((SHARE / "rviz" / "human3r.rviz").read_text())["Visualization Manager"]
    topics = {one["Name"]: one["Topic"]["Value"] for one in manager["Displays"] if "Topic" in one}
    assert [name for name, topic in topics.items() if not topic.startswith("/human3r")] == ["Image"]
    assert "end in the Image display" in PAGE
    assert topics["Overlay"] == "/human3r/color/image/compressed"
    assert topics["Depth"] == "/human3r/depth/image"
    assert "`/image` in `human3r.rviz` is the camera's topic" in PAGE
    assert f"`human3r.rviz` looks from `{manager['Global Options']['Fixed Frame']}`" in PAGE
    panels = json.loads((SHARE / "foxglove" / "human3r.json").read_text())["configById"]
    topic = panels["Image!overlay"]["imageMode"]["imageTopic"]
    assert f"layout shows `{topic}`" in re.sub(r"\s+", " ", PAGE)


def test_qos_is_what_the_page_says():
    profiles = {name: profile for name, (_, _, profile, _) in TOPICS.items()}
    reliable = {one.reliability for one in profiles.values()}
    latched = {name for name, one in profiles.items() if one.durability.name == "TRANSIENT_LOCAL"}
    assert {one.name for one in reliable} == {"RELIABLE"}
    assert latched == {"skeleton", "map", "map_grid", "mesh_topology"}


def test_there_are_rows():
    assert len(QUOTED) >= 7
    assert len(set(DOTTED)) >= 10
