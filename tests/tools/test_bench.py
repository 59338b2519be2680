"""The benchmark's own arithmetic and report; nothing is timed."""

import pytest
from PIL import Image

from benchmarks.bench_report import draw_plot, write_table
from benchmarks.interleaved import Timing, describe, take_turns


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
    drift = {"depth_median_percent": 0.25, "joints_median_mm": None}
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
            "precision": {"frames": 5, "bf16": drift, "fp16": drift},
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
    assert "| depth median percent | 0.25 | 0.25 |" in table
    assert "| joints median mm | - | - |" in table


def test_a_case_without_a_frame_is_told(result):
    result["sections"]["control"]["get"] = {"count": 0}
    assert "| get | - | - | - | - | 0 |" in write_table(result)


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
