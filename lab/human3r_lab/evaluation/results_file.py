"""``results.json``: everything an evaluation found, and what is needed to run it again."""

import datetime
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from human3r import __version__
from human3r.atomic import whole_file
from human3r.config import Settings
from human3r.errors import InputError
from human3r_lab.evaluation.conditions import CONDITIONS
from human3r_lab.evaluation.measures import (
    Measure,
    Median,
    SequenceResult,
    numbers,
    pool,
    summed_counts,
)
from human3r_lab.evaluation.runner import Evaluation

FORMAT = "human3r-evaluation-1"
_MAX_BYTES = 2**28
EVERYTHING = "all"
"""Name of the column over all sequences."""
_PATHS = ("model.weights", "model.body_model")
"""Settings of which the name of the file is kept, not where it lies."""


def results_document(
    done: Evaluation,
    *,
    dataset: Mapping[str, Any],
    weights: Mapping[str, Any],
    settings: Settings,
    device: torch.device,
    num_processes: int = 1,
    num_threads: int = 0,
) -> dict[str, Any]:
    """All of an evaluation as JSON values.

    Args:
        done: with at least one result.
        dataset: what was evaluated: name, and whatever names its content (seeds, sizes).
        weights: file, sha256, variant, trained.
        settings: in effect.
        device: the network ran on.
        num_processes: at work at a time.
        num_threads: of PyTorch in each; 0: those of this process.
    """
    paths = settings.flat()
    groups = sorted({result.group for result in done.results} - {""})
    parts = {EVERYTHING: done.results} | {
        group: [result for result in done.results if result.group == group] for group in groups
    }
    return {
        "format": FORMAT,
        "made_by": "human3r evaluate",
        "version": __version__,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "dataset": dict(dataset),
        "weights": dict(weights),
        "hardware": _hardware(device)
        | {"processes": num_processes, "threads": num_threads or torch.get_num_threads()},
        "settings": settings.flat() | {name: Path(paths[name]).name for name in _PATHS},
        "interrupted": done.was_interrupted,
        "frames": sum(result.frames for result in done.results),
        "frames_failed": sum(result.frames_failed for result in done.results),
        "sequences_failed": sum(bool(result.error) for result in done.results),
        "seconds": round(done.seconds, 2),
        "network_rate_hz": round(done.frames / done.network_s, 3) if done.network_s else None,
        "numbers": {name: numbers(part) for name, part in parts.items()},
        "counts": {name: summed_counts(part) for name, part in parts.items()},
        "curves": _curves(done.results),
        "sequences": [_sequence(result) for result in done.results],
    }


def write_results(path: Path, document: Mapping[str, Any]) -> None:
    """The document as a JSON file, whole or not at all.

    Raises:
        OutputError: not writable.
    """
    with whole_file(path) as file:
        file.write((json.dumps(document, indent=1, allow_nan=False) + "\n").encode("utf-8"))


def read_results(path: str | Path) -> dict[str, Any]:
    """A document that ``write_results`` wrote.

    Raises:
        InputError: missing, damaged, or another file.
    """
    path = Path(path)
    advice = "Name a results.json that `human3r evaluate` wrote."
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path}: more than {_MAX_BYTES} bytes; expected less. {advice}")
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, RecursionError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); expected results of an evaluation. {advice}"
        ) from error
    seen = document.get("format") if isinstance(document, dict) else type(document).__name__
    if seen != FORMAT:
        raise InputError(f"{path}: format is {seen!r}, expected {FORMAT!r}. {advice}")
    try:
        for name in ("dataset", "weights", "numbers", "settings"):
            dict(document[name])
        for sequence in document["sequences"]:
            dict(sequence["numbers"])
        dict(document["numbers"][EVERYTHING])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: is incomplete ({type(error).__name__}: {error}); expected every part of a "
            f"results file. {advice}"
        ) from error
    return document


def shown_parts(document: Mapping[str, Any]) -> list[str]:
    """The parts of the benchmark to show side by side; a single one is not shown twice."""
    parts = list(document["numbers"])
    return parts[1:] if len(parts) == 2 else parts


def title(document: Mapping[str, Any]) -> str:
    """What was evaluated, for the top of a page."""
    dataset = document["dataset"]
    calibrated = "calibrated" if dataset.get("calibrated") else ""
    return ", ".join(filter(None, (dataset["name"], image_size(document), calibrated)))


def image_size(document: Mapping[str, Any]) -> str:
    """Of the benchmark's images, for headings; empty where they have several, or none is known."""
    size = document["dataset"].get("size_px")
    return "x".join(map(str, size)) if isinstance(size, list | tuple) else ""


def _sequence(result: SequenceResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "group": result.group,
        "frames": result.frames,
        "frames_failed": result.frames_failed,
        "error": result.error,
        "numbers": numbers([result]),
        "counts": dict(result.counts),
        "weights": {name: measure.weight for name, measure in result.means.items()},
    }


def _curves(results: Sequence[SequenceResult]) -> dict[str, Any]:
    """Condition: its title, unit and steps, and per measure one pooled mean or median per step."""
    curves: dict[str, Any] = {}
    for name, condition in CONDITIONS.items():
        present = [result.curves[name] for result in results if name in result.curves]
        if not present:
            continue
        means = {
            measure: [_plain(pool(s)) for s in zip(*(c[measure] for c in present), strict=True)]
            for measure in present[0]
        }
        if any(step for steps in means.values() for step in steps):
            curves[name] = {
                "title": condition.title,
                "unit": condition.unit,
                "borders": list(condition.borders),
                "steps": condition.step_names(),
                "means": means,
            }
    return curves


def _plain(measure: Measure | Median | None) -> dict[str, float] | None:
    if measure is None or not math.isfinite(measure.value):
        return None
    return {"value": measure.value, "weight": measure.weight}


def _hardware(device: torch.device) -> dict[str, Any]:
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()
