"""What a recorded run amounts to: counts, rates and latencies, with what they were made on."""

import os
import platform
import subprocess
from collections import Counter
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from human3r.tracking.presence import RULE, Presence
from human3r_ros.commands.recorded_frames import FRAME_TOPICS, Recording, stamp_of

_PROCESSED, _DEGRADED, _FAILED, _IDLE = 0, 1, 3, 4
"""Outcomes in FrameStatus."""
_MEASURED = (0, 1)
"""Track states in Human of people who were seen in that frame."""
STAGES = ("decode", "preprocess", "network", "bodies", "geometry", "publish")
_DROPS = ("dropped_overwritten", "dropped_rate", "dropped_stale", "dropped_order", "rejected")


def summarise(recording: Recording, sent: int) -> dict[str, Any]:
    """Everything that can be counted in a recording of the node.

    Args:
        recording: holds at least ``~/humans`` and ``~/status``.
        sent: frames that were published as images.
    """
    statuses, presence, per_frame = [], Presence(), []
    counters: dict[str, int] = dict.fromkeys(("received", "processed", *_DROPS), 0)
    failed, last_stamp_ns = 0, 0
    for part, message in recording.messages("humans", "status"):
        if part == "humans":
            # The closing message repeats the last stamp.
            if stamp_of(message) > last_stamp_ns:
                measured = [human.id for human in message.humans if human.track_state in _MEASURED]
                presence.add(measured)
                per_frame.append(len(measured))
                last_stamp_ns = stamp_of(message)
            continue
        counters = {name: max(had, int(getattr(message, name))) for name, had in counters.items()}
        failed += message.outcome == _FAILED
        if message.outcome in (_PROCESSED, _DEGRADED):
            statuses.append(message)
    return {
        "frames": _frames(counters, sent, failed),
        "people": {
            "ids": len(presence.ids),
            "confirmed": len(presence.confirmed_ids),
            "confirmed_are": RULE,
            "per_frame_mean": round(float(np.mean(per_frame)), 3) if per_frame else 0.0,
            "per_frame_max": max(per_frame, default=0),
        },
        "rate_hz": _rate_hz(statuses),
        "latency_s": percentiles([message.age_published for message in statuses]),
        "stages_s": {
            stage: percentiles([getattr(message, stage) for message in statuses])
            for stage in STAGES
        },
        "sessions": len({message.session for message in statuses}),
        "messages": dict(sorted(recording.counts.items())),
        "complete_frames": _complete_frames(recording),
    }


def _frames(counters: dict[str, int], sent: int, failed: int) -> dict[str, Any]:
    drops = {name.removeprefix("dropped_"): counters[name] for name in _DROPS}
    return {
        "in": sent,
        "received": counters["received"],
        "processed": counters["processed"],
        "failed": failed,
        "dropped": {"transport": max(0, sent - counters["received"]), **drops},
    }


def _complete_frames(recording: Recording) -> int:
    """Stamps for which every output of the node was recorded."""
    parts: Counter[int] = Counter()
    seen: set[tuple[int, str]] = set()
    for part, message in recording.messages(*FRAME_TOPICS):
        key = (stamp_of(message), part)
        if key not in seen:
            seen.add(key)
            parts[key[0]] += 1
    return sum(count == len(FRAME_TOPICS) for count in parts.values())


def _rate_hz(statuses: list[Any]) -> float | None:
    """Frames per second between the first and the last one published."""
    if len(statuses) < 2:
        return None
    done_s = [stamp_of(message) / 1e9 + message.age_published for message in statuses]
    span_s = max(done_s) - min(done_s)
    return round((len(done_s) - 1) / span_s, 3) if span_s > 0 else None


def percentiles(values: list[float]) -> dict[str, float] | None:
    """Median, 95th and 99th percentile and maximum of what is finite; None where nothing is."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if not known.size:
        return None
    p50, p95, p99 = np.percentile(known, (50, 95, 99))
    found = {"p50": p50, "p95": p95, "p99": p99, "max": known.max()}
    return {name: round(float(value), 6) for name, value in found.items()}


def environment() -> dict[str, Any]:
    """Date, machine and versions: what a number means nothing without."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "hardware": _hardware(),
        "versions": {
            "python": platform.python_version(),
            **{
                name: found
                for name in ("human3r", "torch", "numpy", "cyclonedds", "rosbags", "av")
                if (found := _version(name))
            },
            "commit": _commit(),
        },
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _hardware() -> dict[str, Any]:
    import torch

    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }


def processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str | None:
    """Commit of the source tree this runs from; None outside of one."""
    folder = Path(__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except OSError:
        return None
    return found.stdout.strip() or None
