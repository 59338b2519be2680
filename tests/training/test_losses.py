"""Losses against numbers worked out by hand, and against the reference's detection loss."""

import dataclasses

import numpy as np
import pytest
import torch
from human3r_lab.training.batches import Batch
from human3r_lab.training.body_points import BodyPoints
from human3r_lab.training.forward import Predictions, forward
from human3r_lab.training.losses import (
    LossWeights,
    camera_points,
    compute_losses,
    focal_loss,
    head_map,
    human_branch_losses,
    people_losses,
    scene_losses,
)

from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.geometry import pose_from_matrix
from human3r.model.heads import People
from tests.training.small import SMALL

SIDE_PX = SMALL.human_size_px


@pytest.fixture
def batch(make_batch) -> Batch:
    return make_batch(0)


@pytest.fixture
def perfect(batch) -> Predictions:
    """Predictions that say the truth, with confidence 1."""
    points = camera_points(batch.depth_m, batch.camera)
    world = torch.einsum("bvij,bvjhw->bvihw", batch.first_from_camera[..., :3, :3], points)
    world = world + batch.first_from_camera[..., :3, 3, None, None]
    ones = torch.ones_like(batch.depth_m)
    grid = SIDE_PX // 14
    logits = torch.full((*batch.is_present.shape[:2], grid * grid), -20.0)
    empty = Predictions(
        points_self=points,
        confidence_self=ones,
        points_world=world,
        confidence_world=ones,
        world_views=tuple(range(points.shape[1])),
        camera_pose=pose_from_matrix(batch.first_from_camera),
        mask_logits=torch.zeros(*batch.is_present.shape[:2], SIDE_PX, SIDE_PX),
        detection_logits=logits,
        offset=batch.offset,
        people=People(batch.rotations, batch.betas, batch.expression, batch.head_camera),
        appearance=torch.zeros(*batch.token_person.shape, 24),
        rgb=None,
    )
    heads = head_map(empty, batch)
    return dataclasses.replace(empty, detection_logits=40 * heads - 20)


def test_detection_loss_is_the_reference(unit_ops):
    predicted = torch.from_numpy(unit_ops["focalloss.pred"])
    truth = torch.from_numpy(unit_ops["focalloss.gt"])
    assert focal_loss(predicted, truth) == pytest.approx(float(unit_ops["focalloss.out"]), rel=1e-5)


def test_the_truth_costs_nothing(perfect, batch, body_points):
    terms = {**scene_losses(perfect, batch), **people_losses(perfect, batch, body_points)}
    for name, value in terms.items():
        assert float(value) == pytest.approx(0, abs=1e-4), name
    assert float(human_branch_losses(perfect, batch)["detection"]) < 1e-6


def test_points_are_measured_in_the_scale_of_the_scene(perfect, batch):
    away = torch.tensor([0.3, 0.0, 0.4])[:, None, None]
    moved = dataclasses.replace(
        perfect,
        points_self=perfect.points_self + away,
        points_world=perfect.points_world + 2 * away,
    )
    valid = (batch.depth_m > 0).float()
    distances = [perfect.points_self.norm(dim=2), perfect.points_world.norm(dim=2)]
    scale = sum((d * valid).sum((1, 2, 3)) for d in distances) / (2 * valid.sum((1, 2, 3)))
    per_view = (valid.sum((2, 3)) / valid.sum((0, 2, 3)) / scale[:, None]).sum(0)
    # Both maps' mean of 0.5 m and 1 m, over the scale.
    expected = per_view.mean() * (0.5 + 1.0) / 2
    assert float(scene_losses(moved, batch)["points"]) == pytest.approx(float(expected), rel=1e-4)


def test_confidence_weighs_errors_and_is_rewarded(perfect, batch):
    sure = dataclasses.replace(
        perfect,
        confidence_self=torch.full_like(perfect.confidence_self, 3.0),
        confidence_world=torch.full_like(perfect.confidence_world, 3.0),
    )
    for reward in (0.2, 1.0):
        points = float(scene_losses(sure, batch, reward)["points"])
        assert points == pytest.approx(-reward * np.log(3), rel=1e-4)
    shift = torch.tensor([0.0, 0.0, 1.0])[:, None, None]
    wrong = dataclasses.replace(sure, points_self=sure.points_self + shift)
    plain = dataclasses.replace(perfect, points_self=perfect.points_self + shift)
    got = float(scene_losses(wrong, batch)["points"]) + 0.2 * np.log(3)
    # Equal confidences weigh the scale as confidence 1 does.
    assert got == pytest.approx(3 * float(scene_losses(plain, batch)["points"]), rel=1e-3)


def test_pixels_without_depth_count_only_for_the_sky(perfect, batch):
    none = batch.depth_m == 0
    assert none.any()
    broken = dataclasses.replace(
        perfect,
        points_self=torch.where(none[:, :, None], 1e3, perfect.points_self),
        confidence_self=torch.where(none, 5.0, 1.0),
    )
    terms = scene_losses(broken, batch)
    assert float(terms["points"]) == pytest.approx(0, abs=1e-4)
    assert float(terms["sky"]) == pytest.approx(np.log(5), rel=1e-5)


def test_pose_is_the_length_of_both_differences(perfect, batch):
    pose = perfect.camera_pose.clone()
    pose[..., 0] += 0.2
    pose[..., 3:] *= 0.9
    truth = pose_from_matrix(batch.first_from_camera)
    got = scene_losses(dataclasses.replace(perfect, camera_pose=pose), batch)["pose"]
    distances = torch.stack([perfect.points_self, perfect.points_world]).norm(dim=3)
    valid = (batch.depth_m > 0).float()
    scale = (distances * valid).sum((0, 2, 3, 4)) / (2 * valid.sum((1, 2, 3)))
    expected = (0.2 / scale).mean() + (0.1 * truth[..., 3:]).norm(dim=-1).mean()
    assert float(got) == pytest.approx(float(expected), rel=1e-4)


def test_fewer_world_views_leave_the_mean_of_the_rest(perfect, batch):
    away = torch.tensor([0.1, 0.2, 0.0])[:, None, None]
    moved = dataclasses.replace(
        perfect,
        world_views=(1,),
        points_world=perfect.points_world[:, 1:2] + away,
        confidence_world=perfect.confidence_world[:, 1:2],
    )
    terms = scene_losses(moved, batch)
    assert 0 < float(terms["points"]) < 0.2


def test_people_are_averaged_within_views_first(perfect, batch, body_points):
    people = perfect.people
    head = people.head_camera.clone()
    head[0, 0, 0, 0] += 0.6
    moved = dataclasses.replace(perfect, people=dataclasses.replace(people, head_camera=head))
    terms = people_losses(moved, batch, body_points)
    in_view = int(batch.is_present[:, 0].sum())
    views = batch.is_present.shape[1]
    expected = 0.6 / 3 / in_view / views
    assert float(terms["translation"]) == pytest.approx(expected, rel=1e-4)
    # The whole body moves along, so joints and vertices do, but not relative to the pelvis.
    assert float(terms["joints"]) == pytest.approx(expected, rel=1e-3)
    assert float(terms["vertices_relative"]) == pytest.approx(0, abs=1e-6)


def test_absent_people_do_not_count(perfect, batch, body_points):
    present = batch.is_present.clone()
    present[0, 1, 0] = False
    head = perfect.people.head_camera.clone()
    head[0, 1, 0] = torch.nan
    moved = dataclasses.replace(
        perfect, people=dataclasses.replace(perfect.people, head_camera=head)
    )
    terms = people_losses(moved, dataclasses.replace(batch, is_present=present), body_points)
    assert float(terms["joints"]) == pytest.approx(0, abs=1e-5)


def test_pixels_count_where_the_truth_is_inside(perfect, batch, body_points):
    head = perfect.people.head_camera * 1.02  # Along the ray: hardly any pixel moves.
    near = dataclasses.replace(
        perfect, people=dataclasses.replace(perfect.people, head_camera=head)
    )
    along = float(people_losses(near, batch, body_points)["joints_2d"])
    head = perfect.people.head_camera + torch.tensor([0.05, 0.0, 0.0])
    aside = dataclasses.replace(
        perfect, people=dataclasses.replace(perfect.people, head_camera=head)
    )
    shift = float(people_losses(aside, batch, body_points)["joints_2d"])
    focal, depth = batch.camera[..., 0].mean(), batch.head_camera[..., 2][batch.is_present].mean()
    # Only u moves, and the mean is over u and v.
    assert shift == pytest.approx(float(0.05 * focal / depth / 2), rel=0.3)
    assert along < shift


def test_pixels_count_only_near_the_truth(perfect, batch, body_points):
    weights = LossWeights(points=0, pose=0, mask=0, detection=0, joints_2d=1.0)
    for away, counts in ((0.5, True), (9.0, False)):
        head = perfect.people.head_camera + torch.tensor([away, 0.0, 0.0])
        moved = dataclasses.replace(
            perfect, people=dataclasses.replace(perfect.people, head_camera=head)
        )
        _, terms = compute_losses(moved, batch, body_points, weights)
        assert bool(terms["joints_2d"] > 0) is counts


def test_mask_truth_is_the_padded_image(perfect, batch):
    height, width = batch.image.shape[-2:]
    scale = SIDE_PX / max(height, width)
    covered = int(height * scale) * int(width * scale) / SIDE_PX**2
    nobody = dataclasses.replace(perfect, mask_logits=torch.full_like(perfect.mask_logits, -30.0))
    everybody = dataclasses.replace(nobody, mask_logits=-nobody.mask_logits)
    missed = float(human_branch_losses(nobody, batch)["mask"]) / 30
    invented = float(human_branch_losses(everybody, batch)["mask"]) / 30
    assert missed + invented == pytest.approx(1, rel=1e-5)
    # Enlarged by interpolation, people grow a little.
    people = float(batch.is_person.float().mean()) * covered
    assert people < missed < 1.5 * people


def test_body_points_are_those_of_the_whole_body(body_points):
    whole = load_body_model(default_body_path())
    rng = torch.Generator().manual_seed(0)
    from human3r.geometry import matrix_from_rotation_vector

    rotations = matrix_from_rotation_vector(0.4 * torch.randn(3, 53, 3, generator=rng))
    numbers = [torch.randn(3, n, generator=rng) for n in (10, 10, 3)]
    mesh = whole(rotations, *numbers)
    joints, vertices = body_points(rotations, *numbers)
    torch.testing.assert_close(joints, mesh.joints, rtol=0, atol=2e-6)
    away = torch.cdist(vertices, mesh.vertices, compute_mode="donot_use_mm_for_euclid_dist").amin(
        dim=2
    )
    assert float(away.max()) < 2e-6
    assert 100 < body_points.num_vertices < whole.num_vertices / 8


def test_body_points_pass_gradients(body_points):
    from human3r.model.heads import NUM_BETAS

    rotations = torch.eye(3).repeat(1, 53, 1, 1).requires_grad_()
    zeros = [torch.zeros(1, n, requires_grad=True) for n in (NUM_BETAS, NUM_BETAS, 3)]
    joints, vertices = body_points(rotations, *zeros)
    (joints.square().sum() + vertices.square().sum()).backward()
    for leaf in (rotations, *zeros):
        assert leaf.grad is not None
        assert leaf.grad.abs().sum() > 0


@torch.no_grad()
def test_weights_of_zero_leave_a_term_out(network, batch, body_points):
    predicted = forward(network, batch)
    nothing = LossWeights(**dict.fromkeys(("points", "pose", "mask", "detection"), 0.0))
    body_only, terms = compute_losses(predicted, batch, body_points, nothing)
    everything, _ = compute_losses(predicted, batch, body_points, LossWeights())
    rest = 2 * terms["points"] + terms["pose"] + terms["mask"] + 0.1 * terms["detection"]
    assert float(everything - body_only) == pytest.approx(float(rest), rel=1e-4)


def test_a_reduced_body_refuses_what_is_no_body(tmp_path):
    from human3r.errors import BodyModelError

    with pytest.raises(BodyModelError):
        BodyPoints(tmp_path / "nothing.npz")
