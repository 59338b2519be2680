"""The table over sequences before and after refinement."""

import pytest
from human3r_lab.evaluation.refine_benchmark import BeforeAfter, summary_table
from human3r_lab.evaluation.refine_part import MEASURES

from human3r.errors import InputError


def numbers(value: float, scale: float) -> dict[str, float]:
    return {**dict.fromkeys(MEASURES, value), "camera_scale": scale, "jitter_truth": 1.0}


def test_medians_and_how_many_became_better_and_worse():
    found = [
        BeforeAfter("a", numbers(10, 0.8), numbers(5, 0.9)),
        BeforeAfter("b", numbers(20, 1.2), numbers(30, 1.3)),
        BeforeAfter("c", numbers(30, 1.0), numbers(30.1, 1.0)),
        BeforeAfter("d", None, None),
    ]
    rows = summary_table(found).splitlines()
    assert "| WA-MPJPE, mm | 20 | 30 | 1 | 1 |" in rows
    assert rows[-2].endswith("| 1 | 1 | 1 | 1 |")  # The scale is best at 1.


def test_nobody_found_is_an_error():
    with pytest.raises(InputError, match="nobody"):
        summary_table([BeforeAfter("a", None, None)])
