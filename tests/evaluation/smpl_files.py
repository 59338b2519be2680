"""Made-up files of the licensed bodies, at their real sizes."""

from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from tests.datasets.published import pickled

VERTICES, SMPLX_VERTICES, JOINTS = 6890, 10475, 24
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)


def write(folder: Path) -> Path:
    """SMPL of three genders, the regressors, and a matrix that drops what SMPL-X has more."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, gender in enumerate(("NEUTRAL", "MALE", "FEMALE")):
        np.savez(folder / f"SMPL_{gender}.npz", **smpl_arrays(number))
    matrix = csr_matrix(
        (np.ones(VERTICES), np.arange(VERTICES), np.arange(VERTICES + 1)),
        shape=(VERTICES, SMPLX_VERTICES),
    )
    pickled(folder / "smplx2smpl.pkl", {"matrix": matrix})
    np.save(folder / "J_regressor_h36m.npy", _regressor(17, 9))
    return folder


def smpl_arrays(seed: int) -> dict[str, np.ndarray]:
    """A cloud of points in the shape of a person, with everything a body needs."""
    rng = np.random.default_rng(seed)
    template = rng.uniform([-0.8, -1.1, -0.15], [0.8, 0.6, 0.15], (VERTICES, 3))
    weights = rng.uniform(0, 1, (VERTICES, JOINTS)) ** 8
    return {
        "v_template": template.astype(np.float32),
        "shapedirs": (0.01 * rng.standard_normal((VERTICES, 3, 10))).astype(np.float32),
        "posedirs": (0.001 * rng.standard_normal((VERTICES, 3, 207))).astype(np.float32),
        "weights": (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32),
        "J_regressor": _regressor(JOINTS, seed),
        "kintree_table": np.array([PARENTS, range(JOINTS)]),
        "f": rng.integers(0, VERTICES, (50, 3)),
    }


def _regressor(joints: int, seed: int) -> np.ndarray:
    """Each joint is the mean of five vertices."""
    rng = np.random.default_rng(seed)
    regressor = np.zeros((joints, VERTICES))
    for row in regressor:
        row[rng.choice(VERTICES, 5, replace=False)] = 0.2
    return regressor
