"""Name and memory of the processor that the network runs on; to be asked on the worker thread."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from human3r_ros.commands.report import processor_name
from human3r_ros.diagnostics.facts import DeviceFacts

_DRIVER_FILE = Path("/proc/driver/nvidia/version")


def device_facts(device: Any) -> DeviceFacts:
    """What is known of a ``torch.device``; never waits for work that runs on it."""
    if device.type != "cuda":
        return DeviceFacts(str(device), processor_name())
    import torch

    free, total = torch.cuda.mem_get_info(device)
    return DeviceFacts(
        name=str(device),
        hardware_id=_hardware_id(device),
        driver=_driver(),
        allocated=torch.cuda.memory_allocated(device),
        reserved=torch.cuda.memory_reserved(device),
        peak=torch.cuda.max_memory_allocated(device),
        free=free,
        total=total,
    )


@cache
def _hardware_id(device: Any) -> str:
    import torch

    found = torch.cuda.get_device_properties(device)
    bus = [getattr(found, f"pci_{part}_id", None) for part in ("domain", "bus", "device")]
    where = "{:04x}:{:02x}:{:02x}.0".format(*bus) if None not in bus else str(device)
    return f"{found.name} {where}"


@cache
def _driver() -> str:
    try:
        text = _DRIVER_FILE.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown"
    version = re.search(r"\d+\.\d+(\.\d+)?", text)
    return version[0] if version else "unknown"
