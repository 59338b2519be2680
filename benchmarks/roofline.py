"""What each stage of the network multiplies and moves, against what the machine can do.

The attainable rate is that of the peak, or of a copy where the products would wait for their
operands: what lies between products is taken as free.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from clip import clip_images
from plain_network import PlainNetwork
from stages import REST, StageTimer, Work, WorkCounter, network_stages
from subjects import network_stream, seeded_network

from human3r.model.network import Human3R

WHOLE = "whole frame"
_GEMM_SIZE = 1024
_COPY_BYTES = 1 << 27


def measure_roofline(variant: str, rounds: int, device: torch.device) -> dict[str, Any]:
    """Work, time and attained rates per stage; times are processor times on a CPU."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    network = seeded_network(variant, device)
    images = list(clip_images(1280, 720))[: rounds + 2]
    step = network_stream(network, images, device)
    counter = _count(network, step)
    plain = _count(network, network_stream(PlainNetwork(network), images, device))

    timer = StageTimer(network, clock)
    seconds: dict[str, list[float]] = defaultdict(list)
    gemm, copy = _gemm(device), _copy(device)
    gemm_s, copy_s = [], []
    for turn in range(rounds):
        # In turns with the frames, so that the machine's state is the same for all.
        gemm_s.append(_seconds(gemm, clock, device))
        copy_s.append(_seconds(copy, clock, device))
        timer.seconds.clear()
        whole_s = _seconds(lambda turn=turn: step(2 + turn), clock, device)
        parts = {**timer.seconds, REST: whole_s - sum(timer.seconds.values()), WHOLE: whole_s}
        for name, value in parts.items():
            seconds[name].append(value)
    peak = _GEMM_SIZE**3 / min(gemm_s)
    bandwidth = 2 * _COPY_BYTES / min(copy_s)
    work = {name: counter.stages[name] for name in (*network_stages(network), REST)}
    work[WHOLE] = counter.total()
    return {
        "clock": "processor time" if device.type == "cpu" else "wall time",
        "peak_gmac_per_s": peak / 1e9,
        "copy_gb_per_s": bandwidth / 1e9,
        "plain_gmac": plain.total().macs / 1e9,
        "stages": {
            name: _row(found, statistics.median(seconds[name]), peak, bandwidth)
            for name, found in work.items()
        },
    }


def _count(network: Human3R, step: Callable[[int], object]) -> WorkCounter:
    """The second frame's work: the first one does not read the pose memory."""
    step(0)
    with WorkCounter(network) as counter:
        step(1)
    return counter


def _row(work: Work, seconds: float, peak: float, bandwidth: float) -> dict[str, float]:
    attainable = min(peak, work.intensity * bandwidth)
    return {
        "gmac": work.macs / 1e9,
        "weight_mb": work.weight_bytes / 1e6,
        "activation_mb": work.activation_bytes / 1e6,
        "mac_per_byte": work.intensity,
        "ms": 1e3 * seconds,
        "gmac_per_s": work.macs / 1e9 / seconds,
        "share_of_attainable": work.macs / seconds / attainable,
    }


def _gemm(device: torch.device) -> Callable[[], object]:
    a, b = torch.randn(2, _GEMM_SIZE, _GEMM_SIZE, device=device)
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)


def _copy(device: torch.device) -> Callable[[], object]:
    source = torch.zeros(_COPY_BYTES // 4, device=device)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)


def _seconds(call: Callable[[], object], clock: Callable[[], float], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began_s = clock()
    with torch.inference_mode():
        call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - began_s
