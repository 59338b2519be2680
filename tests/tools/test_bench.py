"""The benchmark's own arithmetic and report; nothing is timed."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.bench_report import draw_plot, write_table
from benchmarks.interleaved import Timing, describe, take_turns

ROOT = Path(__file__).resolve().parents[2]


def test_everybody_has_a_turn_in_every_round_and_nobody_is_always_first():
    order = []
    names = ("a", "b", "c")
    found = take_turns(
        {name: lambda turn, name=name: order.append((turn, name)) for name in names}, 3, warm_up=2
    )
    assert {name: len(turns) for name, turns in found.items()} == dict.fromkeys(names, 3)
    rounds = [order[i : i + 3] for i in range(0, 15, 3)]
    assert all(sorted(name for _, name in one) == list(names) for one in rounds)
    assert {one[0][1] for one in rounds} == set(names)


def test_ratios_are_taken_turn_by_turn():
    """One slow turn of the machine slows both, and does not move the ratio."""
    slow = [Timing(2.0, 1.0), Timing(20.0, 1.0), Timing(2.0, 1.2)]
    fast = [Timing(1.0, 0.5), Timing(10.0, 0.5), Timing(1.0, 0.4)]
    found = describe({"slow": slow, "fast": fast}, "slow")
    assert found["fast"]["times_faster_wall"] == pytest.approx(2.0)
    assert found["fast"]["times_faster_processor"] == pytest.approx(2.0)
    assert found["slow"]["times_faster_wall"] == 1.0
    assert found["fast"]["wall_ms"] == pytest.approx(1000.0)
    assert found["fast"]["fastest_wall_ms"] == pytest.approx(1000.0)


@pytest.fixture
def result():
    ways = describe({"plain": [Timing(2.0, 1.0)] * 3, "human3r": [Timing(1.0, 0.5)] * 3}, "plain")
    values = {"median": 0.25, "first_half": 0.2, "second_half": 0.3, "p95": 0.5, "worst": 1.5}
    drift = {"depth_percent": values, "people": 7}
    case = {**ways["human3r"], "peak_bytes": 2e8}
    growth = {"1 people": {**ways["plain"], "times_faster_processor": 1.0, "peak_bytes": 1e8}}
    growth["2 people"] = {**case, "times_faster_processor": 0.8}
    stage = {"gmac": 2.0, "weight_mb": 3.0, "activation_mb": 1.0, "mac_per_byte": 500.0}
    stage |= {"ms": 100.0, "gmac_per_s": 20.0, "share_of_attainable": 0.5}
    return {
        "command": "python benchmarks/bench.py",
        "date": "2026-01-02",
        "cpu": "Some CPU",
        "cores": 2,
        "gpu": None,
        "commit": "abc",
        "python": "3.12",
        "torch": "2.0",
        "torch_threads": 2,
        "variant": "tiny",
        "sections": {
            "network": {"tiny": {"ways": ways, "stage_ms": {"encoder": 1.25}}},
            "start": {"help_s": 0.125},
            "precision": {"frames": 5, "weights": "shipped", "bf16": drift, "fp16": drift},
            "growth": {
                "people": growth,
                "image": growth,
                "length": [{"frames": 10, "processor_ms": 90.0, "resident_bytes": 5e8}],
            },
            "roofline": {
                "clock": "processor time",
                "peak_gmac_per_s": 40.0,
                "copy_gb_per_s": 30.0,
                "plain_gmac": 3.0,
                "stages": {"encoder": stage, "whole frame": stage},
            },
            "control": {
                "get": {"p50": 0.001, "p95": 0.002, "p99": 0.003, "max": 0.004, "count": 9}
            },
        },
    }


def test_the_table_says_where_when_and_how(result):
    table = write_table(result)
    for said in (
        "2026-01-02",
        "Some CPU",
        "commit abc",
        "no GPU figure",
        "python benchmarks/bench",
    ):
        assert said in table
    assert "| human3r | 500.0 | 1000.0 | 2.00 | 2.00 |" in table
    assert "| get | 1.0 | 2.0 | 3.0 | 4.0 | 9 |" in table
    assert "## fp16 against fp32 over 5 frames, shipped weights" in table
    assert "| depth percent | 0.25 | 0.2 | 0.3 | 0.5 | 1.5 |" in table
    assert "| people | 7 | | | | |" in table
    assert "| 2 people | 500.0 | 125.0 | 1000.0 | 200.0 | 200.0 |" in table
    assert "| 10 | 90.0 | 500.0 |" in table
    assert "| encoder | 2 | 3.0 | 1.0 | 500.0 | 100.0 | 20.0 | 50 |" in table
    assert "1.50 times as many" in table


def test_a_case_without_a_frame_is_told(result):
    result["sections"]["control"]["get"] = {"count": 0}
    assert "| get | - | - | - | - | 0 |" in write_table(result)


def test_rows_say_what_they_know(result):
    busy = {"p50": 0.01, "p95": 0.02, "p99": 0.03, "max": 0.04, "count": 8}
    result["sections"]["control"] = {"busy": busy, "added": {"p50": -0.001, "p95": 0.002}}
    result["sections"]["node"] = {"640x480": {**busy, "people": 4.5}}
    table = write_table(result)
    assert "| busy | 10.0 | 20.0 | 30.0 | 40.0 | 8 |" in table
    assert "| added | -1.0 | 2.0 | - | - | - |" in table
    assert "| | p50 | p95 | p99 | max | n | people, mean |" in table
    assert "| 640x480 | 10.0 | 20.0 | 30.0 | 40.0 | 8 | 4.5 |" in table


def test_the_plot_has_a_bar_for_every_way(result, tmp_path):
    draw_plot(result, tmp_path / "bench.png")
    with Image.open(tmp_path / "bench.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert {(0x9A, 0xA5, 0xB1), (0x6B, 0x7C, 0x8F)} <= colours
    assert [path.name for path in tmp_path.iterdir()] == ["bench.png"]


def test_without_the_network_there_is_no_plot(result, tmp_path):
    del result["sections"]["network"]
    draw_plot(result, tmp_path / "bench.png")
    assert not list(tmp_path.iterdir())


PEAK = """
import numpy as np
from benchmarks.scaffold import peak_resident_bytes, resident_bytes

before = peak_resident_bytes()
block = np.ones(before // 4)  # Twice the peak so far.
assert peak_resident_bytes() > 1.9 * before
del block
assert resident_bytes() < 1.5 * before
assert peak_resident_bytes() > 1.9 * before
"""


def test_the_peak_remembers_what_was_given_back():
    # In a process of its own: the peak of a test process is gigabytes by now.
    subprocess.run([sys.executable, "-c", PEAK], cwd=ROOT, check=True)
