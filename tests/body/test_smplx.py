import contextlib
import io

import numpy as np
import pytest
import torch

from human3r.body import BodyModel, load_body_model, skeleton
from human3r.body.default import default_body_path
from human3r.body.layout import check_arrays
from human3r.body.smplx import SmplxBody
from human3r.errors import ShapeError
from tests import synthetic_smplx


def rotation_matrices(vectors: torch.Tensor) -> torch.Tensor:
    """Rotation vectors (..., 3) as matrices, by the matrix exponential."""
    x, y, z = vectors.unbind(-1)
    o = torch.zeros_like(x)
    skew = torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).unflatten(-1, (3, 3))
    return torch.linalg.matrix_exp(skew)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


VECTORS = 0.5 * normal(4, 53, 3, seed=3)
"""Rotation vectors of four people."""


@pytest.fixture(scope="module")
def people() -> tuple[torch.Tensor, ...]:
    """Rotations, betas, expression and head position of the four people."""
    numbers = normal(4, 23, seed=4)
    betas, expression, head = numbers.split([10, 10, 3], dim=1)
    return rotation_matrices(VECTORS), betas, expression, head + torch.tensor([0, 0, 4.0])


def test_bodies_equal_the_smplx_package(golden_body, people, tmp_path):
    smplx = pytest.importorskip("smplx", reason="the optional smplx package is not installed")
    path = synthetic_smplx.write(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()):
        package = smplx.create(
            str(path.parent.parent),
            model_type="smplx",
            use_pca=False,
            flat_hand_mean=True,
            num_betas=10,
            num_expression_coeffs=10,
            batch_size=4,
        )
    path.unlink()
    _, betas, expression, head_camera = people
    with torch.no_grad():
        package_out = package(
            betas=betas,
            expression=expression,
            global_orient=VECTORS[:, 0],
            body_pose=VECTORS[:, 1:22].flatten(1),
            left_hand_pose=VECTORS[:, 22:37].flatten(1),
            right_hand_pose=VECTORS[:, 37:52].flatten(1),
            jaw_pose=VECTORS[:, 52],
        )
        mesh = golden_body(*people)
    shift = (head_camera - package_out.joints[:, 15])[:, None]
    assert mesh.joints.shape == (4, 127, 3)
    assert (mesh.vertices - (package_out.vertices + shift)).abs().max() < 1e-5
    assert (mesh.joints - (package_out.joints + shift)).abs().max() < 1e-5
    assert np.array_equal(golden_body.faces, package.faces.astype(np.int64))
    assert golden_body.joint_parents[:55] == tuple(package.parents.tolist())


def test_bodies_equal_the_golden_ones(golden_body, unit_ops):
    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(unit_ops[f"smplx.{name}"])

    mesh = golden_body(
        rotation_matrices(tensor("rotvec")), tensor("betas"), tensor("expression"), tensor("transl")
    )
    for got, name in (
        (mesh.vertices[:, ::25], "verts_stride25"),
        (mesh.joints, "joints"),
        (mesh.joints[:, :1], "pelvis"),
    ):
        want = tensor(name)
        assert got.shape == want.shape
        assert (got - want).abs().max() < 1e-5 * want.square().mean().sqrt()
    projected = mesh.joints / mesh.joints[..., 2:]
    pixels = (projected @ tensor("K").T)[..., :2]
    want = tensor("joints2d")
    assert (pixels - want).abs().max() < 1e-5 * want.square().mean().sqrt()


def test_the_names_are_those_of_the_smplx_package(golden_body):
    names = pytest.importorskip("smplx.joint_names", reason="the smplx package is not installed")
    assert golden_body.joint_names == tuple(names.JOINT_NAMES[:127])


def test_the_head_lands_where_it_was_asked_to(body_model, people):
    mesh = body_model(*people)
    assert torch.allclose(mesh.joints[:, skeleton.HEAD], people[3], atol=1e-6)


def test_the_root_turns_the_whole_body(body_model, people):
    rotations, betas, expression, _ = people
    turn = rotation_matrices(torch.tensor([0.3, -1.1, 0.7]))
    turned = rotations.clone()
    turned[:, 0] = turn @ rotations[:, 0]
    at_origin = torch.zeros(4, 3)
    before = body_model(rotations, betas, expression, at_origin)
    after = body_model(turned, betas, expression, at_origin)
    assert torch.allclose(before.vertices @ turn.T, after.vertices, atol=1e-5)
    assert torch.allclose(before.joints @ turn.T, after.joints, atol=1e-5)


def test_a_joint_moves_what_hangs_on_it_and_nothing_else(body_model):
    rotations = torch.eye(3).repeat(1, 53, 1, 1)
    zeros = torch.zeros(1, 10)
    rest = body_model(rotations, zeros, zeros, torch.zeros(1, 3)).joints[0, :55]
    bent = rotations.clone()
    elbow = skeleton.JOINT_NAMES.index("left_elbow")
    bent[:, skeleton.JOINT_OF_ROTATION.index(elbow)] = rotation_matrices(torch.tensor([0, 1.0, 0]))
    moved = (body_model(bent, zeros, zeros, torch.zeros(1, 3)).joints[0, :55] - rest).norm(dim=1)
    names = {skeleton.JOINT_NAMES[j] for j in torch.nonzero(moved > 1e-4).flatten().tolist()}
    fingers = {n for n in skeleton.JOINT_NAMES if n.startswith("left_") and n[-1] in "123"}
    assert names == {"left_wrist", *fingers}


def test_eyes_and_every_rotation_have_one_joint():
    free = set(range(55)) - set(skeleton.JOINT_OF_ROTATION)
    assert free == {skeleton.LEFT_EYE, skeleton.RIGHT_EYE}
    assert len(set(skeleton.JOINT_OF_ROTATION)) == 53


def test_people_do_not_influence_each_other(body_model, people):
    together = body_model(*people)
    for i in range(4):
        alone = body_model(*(argument[i : i + 1] for argument in people))
        assert torch.allclose(alone.vertices[0], together.vertices[i], atol=5e-6)
        assert torch.allclose(alone.joints[0], together.joints[i], atol=5e-6)


def test_nobody_gives_empty_arrays(body_model):
    zeros = torch.zeros(0, 10)
    mesh = body_model(torch.zeros(0, 53, 3, 3), zeros, zeros, torch.zeros(0, 3))
    assert mesh.vertices.shape == (0, 300, 3)
    assert mesh.joints.shape == (0, 127, 3)
    assert body_model.stature(zeros).shape == (0,)


def test_stature_is_the_height_of_the_rest_pose(body_model):
    betas = normal(5, 10)
    rotations = torch.eye(3).repeat(5, 53, 1, 1)
    mesh = body_model(rotations, betas, torch.zeros(5, 10), torch.zeros(5, 3))
    heights = mesh.vertices[..., 1]
    expected = heights.amax(1) - heights.amin(1)
    assert torch.allclose(body_model.stature(betas), expected, atol=1e-6)
    rest = body_model.rest_joints(betas)
    moved = mesh.joints[:, :55] - mesh.joints[:, :1]
    assert torch.allclose(rest - rest[:, :1], moved, atol=1e-6)


def test_zero_pose_directions_are_left_out():
    arrays = synthetic_smplx.build(num_vertices=100, num_faces=80)
    with_zeros = {**arrays, "posedirs": np.zeros_like(arrays["posedirs"])}
    without = {name: array for name, array in arrays.items() if name != "posedirs"}
    bodies = [SmplxBody(check_arrays(a, "test"), "test") for a in (with_zeros, without)]
    assert not bodies[0].has_pose_directions
    assert bodies[0]._blend.shape == bodies[1]._blend.shape == (20, 300)
    assert SmplxBody(check_arrays(arrays, "test"), "test").has_pose_directions


def test_gradients_reach_every_parameter(body_model, people):
    arguments = [argument.clone().requires_grad_() for argument in people]
    mesh = body_model(*arguments)
    (mesh.vertices.square().mean() + mesh.joints.square().mean()).backward()
    assert all(torch.isfinite(a.grad).all() and a.grad.abs().sum() > 0 for a in arguments)


@pytest.mark.parametrize("wrong", range(4))
def test_arguments_of_another_shape_are_refused(body_model, people, wrong):
    arguments = list(people)
    arguments[wrong] = arguments[wrong][:, :-1]
    with pytest.raises(ShapeError, match="expected shape"):
        body_model(*arguments)


def test_the_body_that_comes_along_loads_and_says_what_it_is():
    body = load_body_model(default_body_path())
    assert isinstance(body, BodyModel)
    assert body.name == "free_body"
    assert len(body.joint_names) == len(set(body.joint_names)) == len(body.joint_parents) == 127
    assert 1.4 < float(body.stature(torch.zeros(1, 10))) < 2.0
    nose = body.joint_names.index("nose")
    assert body.joint_parents[nose] == skeleton.HEAD
    assert body.faces.max() == body.num_vertices - 1


def test_landmarks_follow_the_joint_they_hang_on(golden_body: BodyModel):
    parents = golden_body.joint_parents
    assert parents[:55] == skeleton.JOINT_PARENTS
    assert all(0 <= parent < 55 for parent in parents[55:])
