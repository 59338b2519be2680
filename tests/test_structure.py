"""The promised names, and who may import whom (docs/how-it-works.md)."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import human3r
import human3r.errors
import human3r.geometry
import human3r.io

SOURCE = Path(human3r.__file__).parent

LAYERS = {
    "errors": 0,
    **dict.fromkeys(("types", "setting", "atomic", "pickles", "plugins", "npz", "file_kind"), 1),
    "stopping": 1,
    **dict.fromkeys(("config", "geometry", "pickled_arrays", "demo_clip"), 2),
    "camera": 3,
    **dict.fromkeys(("body", "model", "io", "tracking", "mapping"), 4),
    **dict.fromkeys(("scale", "people", "scene", "multiview"), 5),
    **dict.fromkeys(("streaming", "viewer", "chromm"), 6),
    **dict.fromkeys(("pipeline", "export"), 7),
    **dict.fromkeys(("rig", "run_source", "refine", "batch"), 8),
    "cli": 9,
}
SIDEWAYS = {("model", "body")}


def part_of(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Imports and calls of a file: all that the tests look at."""
    kinds = (ast.Import, ast.ImportFrom, ast.Call)
    return tuple(n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, kinds))


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


def test_imports_go_down_the_layers_only():
    wrong = []
    for path in SOURCE.rglob("*.py"):
        part = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        for module in imports_of(path):
            other = part_of(module) if module.startswith("human3r.") else part
            if other == part or (part, other) in SIDEWAYS:
                continue
            if LAYERS[other] >= LAYERS[part]:
                wrong.append(f"{path.relative_to(SOURCE)} imports {module}")
    assert not wrong, "\n".join(wrong)


OTHERS = {"rclpy", "rclpy_lite", "human3r_ros", "human3r_msgs", "human3r_bridge", "human3r_lab"}


def test_the_core_knows_neither_ros_nor_the_laboratory():
    for path in SOURCE.rglob("*.py"):
        roots = {module.split(".")[0] for module in imports_of(path)}
        assert not roots & OTHERS, path
        for name in strings_given_to_import_module(path):
            assert name.partition(".")[0] not in OTHERS, (path, name)


def strings_given_to_import_module(path: Path) -> list[str]:
    """Also the leading part of formatted strings."""
    found = []
    for node in nodes_of(path):
        if isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__"):
                parts = [n.value for n in ast.walk(node.args[0]) if isinstance(n, ast.Constant)]
                found += [part for part in parts if isinstance(part, str)]
    return found


def importable_cycles(root: Path, package: str) -> list[list[str]]:
    """Circles of imports among the modules of a package, at any place in a file."""
    modules = {
        ".".join((package, *path.relative_to(root).with_suffix("").parts)): path
        for path in root.rglob("*.py")
        if path.name != "__init__.py"
    }
    graph = {name: imported_modules(path) & modules.keys() for name, path in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [error.args[1]]
    return []


def imported_modules(path: Path) -> set[str]:
    """Modules a file imports; names imported from a package count as modules of it."""
    found = imports_of(path)
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize(
    ("folder", "package"),
    [
        ("src/human3r", "human3r"),
        ("lab/human3r_lab", "human3r_lab"),
        ("ros2_ws/src/human3r_ros/human3r_ros", "human3r_ros"),
        ("ros2_ws/src/human3r_bridge/human3r_bridge", "human3r_bridge"),
    ],
)
def test_no_package_imports_in_circles(folder, package):
    assert importable_cycles(SOURCE.parents[1] / folder, package) == []


def test_every_promised_name_is_there():
    for module in (human3r, human3r.geometry, human3r.io):
        for name in module.__all__:
            assert getattr(module, name) is not None


def test_the_page_of_the_python_api_has_every_promised_name():
    page = (SOURCE.parents[1] / "docs" / "api.md").read_text()
    for name in (*human3r.__all__, *human3r.io.__all__):
        made = getattr(human3r, name, None) or getattr(human3r.io, name)
        is_error = issubclass(made, Exception) if isinstance(made, type) else False
        assert is_error or f"::: {made.__module__}.{name}" in page, name
    assert "::: human3r.errors" in page


def test_every_page_is_in_the_navigation():
    root = SOURCE.parents[1]
    listed = (root / "mkdocs.yml").read_text()
    for page in (root / "docs").rglob("*.md"):
        name = page.relative_to(root / "docs").as_posix()
        assert f": {name}\n" in listed, f"{name} is not in nav of mkdocs.yml; add it there"


def test_importing_human3r_loads_neither_torch_nor_numpy():
    code = "import human3r, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_every_error_is_a_human3r_error():
    names = [n for n in vars(human3r.errors) if n.endswith("Error")]
    assert len(names) >= 10
    for name in names:
        assert issubclass(getattr(human3r.errors, name), human3r.errors.Human3RError)
