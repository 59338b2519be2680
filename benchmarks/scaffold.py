"""What every benchmark shares: command line, where it ran, how large it is, its results as JSON."""

import argparse
import atexit
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from human3r.atomic import whole_file


def parser(doc: str | None, *, with_json: bool = False) -> argparse.ArgumentParser:
    """A command line that explains itself with the benchmark's docstring.

    Args:
        doc: ``__doc__`` of the benchmark.
        with_json: also has ``--json FILE``, for ``write_result``.
    """
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if with_json:
        made.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    return made


def described(**numbers: Any) -> dict[str, Any]:
    """The numbers behind the command that made them and where it ran."""
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    return {"command": command, **describe_environment(), **numbers}


def write_result(path: Path | None, result: Any) -> None:
    """The result as JSON, whole or not at all; nothing without a path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write((json.dumps(result, indent=1) + "\n").encode())


def describe_environment() -> dict:
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "human3r": version("human3r"),
    }


def folder_in_memory(name: str) -> Path:
    """A new folder, in memory where the system has such a place; removed when the process ends."""
    place = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix=f"{name}_", dir=place if place.is_dir() else None)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def resident_bytes() -> int:
    """Resident set size of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_resident_bytes() -> int:
    """Largest resident set size of this process so far (Linux).

    Not ``ru_maxrss``, which a new process inherits from the one that started it.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("/proc/self/status has no VmHWM; expected a Linux kernel's")


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"
