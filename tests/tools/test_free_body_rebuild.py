"""Builds the free body again and compares it with the shipped one, where anny is installed."""

import numpy as np
import pytest

from human3r.body.default import default_body_path
from human3r.body.skeleton import NUM_JOINTS
from tools.build_free_body import build

pytest.importorskip("anny", reason="anny is not installed; see docs/free-body.md")

PEOPLE, SEED = 500, 0


def rest_joints(arrays: dict[str, np.ndarray]) -> np.ndarray:
    joints = np.zeros((NUM_JOINTS, 3))
    points = arrays["v_template"][arrays["J_regressor_column"]]
    np.add.at(joints, arrays["J_regressor_row"], points * arrays["J_regressor_value"][:, None])
    return joints


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_build_gives_the_shipped_body_again():
    with np.load(default_body_path(), allow_pickle=False) as file:
        shipped = dict(file)
    rebuilt, report = build(PEOPLE, SEED)
    assert set(rebuilt) == set(shipped)
    for name in ("f", "ft", "vt", "landmark_vertices", "landmark_names", "provenance"):
        assert (rebuilt[name] == shipped[name]).all(), name
    tolerances = {"v_template": 1e-5, "shapedirs": 1e-4, "weights": 1e-4}
    for name, tolerance in tolerances.items():
        np.testing.assert_allclose(rebuilt[name], shipped[name], atol=tolerance)
    np.testing.assert_allclose(rest_joints(rebuilt), rest_joints(shipped), atol=5e-4)
    assert report["shape_error_mm_10"]["mean"] < 2
