"""The promised names, and who may import whom (docs/how-it-works.md)."""

import ast
import subprocess
import sys
from pathlib import Path

import human3r
import human3r.errors
import human3r.geometry
import human3r.io

SOURCE = Path(human3r.__file__).parent

LAYERS = {
    "errors": 0,
    **dict.fromkeys(("types", "config", "checks", "atomic", "pickles"), 1),
    **dict.fromkeys(("geometry", "pickled_arrays"), 2),
    **dict.fromkeys(("body", "model", "io", "tracking", "mapping", "datasets"), 3),
    **dict.fromkeys(("streaming", "scale", "synth", "demo_clip"), 4),
    **dict.fromkeys(("pipeline", "viewer"), 5),
    **dict.fromkeys(("training", "evaluation"), 6),
    "cli": 7,
}
SIDEWAYS = {("model", "body")}


def part_of(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
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


def test_the_core_knows_no_ros():
    for path in SOURCE.rglob("*.py"):
        roots = {module.split(".")[0] for module in imports_of(path)}
        assert not roots & {"rclpy", "rclpy_lite", "human3r_ros", "human3r_msgs"}, path


def test_every_promised_name_is_there():
    for module in (human3r, human3r.geometry, human3r.io):
        for name in module.__all__:
            assert getattr(module, name) is not None


def test_importing_human3r_loads_no_torch():
    code = "import human3r, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_every_error_is_a_human3r_error():
    names = [n for n in vars(human3r.errors) if n.endswith("Error")]
    assert len(names) >= 10
    for name in names:
        assert issubclass(getattr(human3r.errors, name), human3r.errors.Human3RError)
