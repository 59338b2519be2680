import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from human3r.geometry import (
    matrix_from_6d,
    matrix_from_quaternion,
    matrix_from_rotation_vector,
    quaternion_from_matrix,
    rotation_vector_from_matrix,
)

DTYPES = [torch.float32, torch.float64]
ATOL = {torch.float32: 2e-6, torch.float64: 1e-12}


def _random(dtype, count=200):
    rotations = Rotation.random(count, rng=np.random.default_rng(0))
    return rotations, torch.from_numpy(rotations.as_matrix()).to(dtype)


def test_six_numbers_repeat_the_golden_matrices(unit_ops):
    got = matrix_from_6d(torch.from_numpy(unit_ops["rot6d.in"]).view(-1, 6))
    want = torch.from_numpy(unit_ops["rot6d.rotmat"])
    assert (got - want).abs().max() <= 1e-4 * want.square().mean().sqrt()


def test_rotation_vectors_repeat_the_golden_numbers(unit_ops):
    got = rotation_vector_from_matrix(torch.from_numpy(unit_ops["rot6d.rotmat"]))
    want = torch.from_numpy(unit_ops["rot6d.rotvec"])
    assert (got - want).abs().max() <= 1e-4 * want.square().mean().sqrt()


def test_six_numbers_are_a_row_major_matrix_of_two_columns():
    got = matrix_from_6d(torch.tensor([0.0, 2.0, 3.0, 1.0, 0.0, 0.0]))
    # First column (0, 3, 0), second (2, 1, 0) before it is made orthogonal.
    assert got.T.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, -1]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_six_numbers_always_give_rotations(dtype):
    matrices = matrix_from_6d(torch.randn(4, 25, 6, dtype=dtype, generator=_generator()))
    identity = torch.eye(3, dtype=dtype).expand_as(matrices)
    assert torch.allclose(matrices @ matrices.mT, identity, atol=10 * ATOL[dtype])
    assert torch.allclose(torch.linalg.det(matrices), torch.ones(4, 25, dtype=dtype), atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_quaternions_agree_with_scipy(dtype):
    rotations, matrices = _random(dtype)
    wxyz = np.roll(rotations.as_quat(), 1, axis=-1)
    wxyz = torch.from_numpy(wxyz * np.where(wxyz[:, :1] < 0, -1, 1)).to(dtype)
    assert torch.allclose(quaternion_from_matrix(matrices), wxyz, atol=ATOL[dtype])
    assert torch.allclose(matrix_from_quaternion(3 * wxyz), matrices, atol=ATOL[dtype])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_turns_have_a_quaternion(axis):
    matrix = -torch.eye(3)
    matrix[axis, axis] = 1
    quaternion = quaternion_from_matrix(matrix)
    assert quaternion[0] == 0
    assert quaternion[1 + axis].abs() == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 1.0, 3.0, 3.1415])
def test_rotation_vectors_go_there_and_back(dtype, angle):
    axis = torch.nn.functional.normalize(torch.tensor([1.0, -2.0, 0.5], dtype=dtype), dim=0)
    vector = axis * angle
    matrix = matrix_from_rotation_vector(vector)
    want = Rotation.from_rotvec(vector.double().numpy()).as_matrix()
    assert np.allclose(matrix.double(), want, atol=ATOL[dtype])
    tolerance = 1e-12 if dtype == torch.float64 else 2e-3 if angle > 3 else 1e-5
    assert torch.allclose(rotation_vector_from_matrix(matrix), vector, atol=tolerance)


def _generator():
    return torch.Generator().manual_seed(0)
