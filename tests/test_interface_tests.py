"""docs/interface-tests.md names tests that exist, for every row."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "interface-tests.md"
PLACES = ("tests", "ros2_ws/src/human3r_ros/tests", "ros2_ws/src/human3r_bridge/tests")
SECTIONS = ("7", "9", "10", "11", "12", "13")
MISSING = "missing"


def rows_of(text: str) -> dict[str, list[tuple[str, list[str]]]]:
    """Section number to rows, each with its tests; none where the test is missing."""
    sections, number = {}, ""
    for line in text.splitlines():
        if heading := re.match(r"## (\d+)\.", line):
            number = heading[1]
            sections[number] = []
        elif line.startswith("|") and number:
            # The last cell holds the tests; a row's own text may hold an escaped bar.
            row, _, tests = line.strip().strip("|").rpartition("|")
            if row.strip() != "row" and set(tests.strip()) != {"-"}:
                names = [name.strip(" `") for name in re.split(r",|<br>", tests)]
                sections[number].append((row.strip(), [] if names == [MISSING] else names))
    return sections


@cache
def functions_of(name: str) -> frozenset[str]:
    """Functions in the test files of this name or path."""
    files = [path for place in PLACES for path in (REPOSITORY / place).rglob(Path(name).name)]
    trees = [ast.parse(path.read_text()) for path in files if str(path).endswith(f"/{name}")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef))


def problems_in(text: str) -> list[str]:
    """What is wrong with the page, one line each."""
    found = []
    for number, rows in rows_of(text).items():
        for row, names in rows:
            for name in names:
                file, _, test = name.partition("::")
                if not test.startswith("test_") or test not in functions_of(file):
                    found.append(f"section {number}, {row}: no such test: {name}")
    return found


def test_every_named_test_exists():
    assert problems_in(PAGE.read_text()) == []


@pytest.mark.parametrize("number", SECTIONS)
def test_every_section_has_rows(number):
    assert rows_of(PAGE.read_text())[number]


def test_a_test_that_is_gone_is_noticed():
    text = "## 10. Time\n\n| row | test |\n| --- | --- |\n| zero stamp | {} |\n"
    assert problems_in(text.format("test_stream_rules.py::test_the_time_table")) == []
    assert problems_in(text.format("missing")) == []
    (problem,) = problems_in(text.format("test_stream_rules.py::test_of_yesterday"))
    assert "zero stamp" in problem
    assert len(problems_in(text.format("none"))) == 1
