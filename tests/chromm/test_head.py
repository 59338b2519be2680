"""The head on tokens of frozen encoders: places, pelvis, detection, and that it learns."""

import numpy as np
import pytest
import torch
from human3r_lab.training.chromm import (
    ChrommFeatures,
    ChrommTruth,
    chamfer,
    head_tokens,
    project,
    stage_parameters,
    train_stage,
    visible,
)
from scipy.spatial.transform import Rotation

from human3r.body import load_body_model
from human3r.body.skeleton import HEAD, PELVIS
from human3r.chromm.head import ChrommHead, ChrommPeople, head_place
from human3r.chromm.network import Chromm, scale_correction
from human3r.chromm.patch_maps import PatchMaps
from human3r.model.layers import HumanBackbone
from tests import synthetic_smplx
from tests.multiview.pi3x.little_pi3x import make_images, make_little_pi3x

MAPS = PatchMaps(84, 63, 56, 42, 28)
CAMERA = torch.tensor([[70.0, 0, 41.5], [0, 71.0, 31.0], [0, 0, 1]])
SCENE, HUMAN = 24, 16


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    path = synthetic_smplx.write(tmp_path_factory.mktemp("body"), num_vertices=120, num_faces=150)
    return load_body_model(path)


def make_truth(body, seed=0, spread=0.3):
    """Two people in each of two images, whole ones far enough away."""
    generator = torch.Generator().manual_seed(seed)
    turns = spread * torch.randn(4 * 53, 3, generator=generator)
    rotations = torch.from_numpy(Rotation.from_rotvec(turns.numpy()).as_matrix()).float()
    rotations = rotations.unflatten(0, (4, 53))
    upright = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    rotations[:, 0] = upright @ rotations[:, 0]
    head = torch.tensor([[-1.7, -0.9, 4.0], [1.8, -0.7, 4.4], [-1.8, -1.0, 4.2], [1.7, -0.8, 3.9]])
    mask = torch.zeros(2, 56, 56, dtype=torch.bool)
    mask[:, 14:49, 10:46] = True
    return ChrommTruth(
        torch.tensor([0, 0, 1, 1]),
        rotations,
        0.5 * torch.randn(4, 10, generator=generator),
        head,
        mask,
    )


def make_features(truth, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows, columns = MAPS.scene_grid
    depth = torch.full((2, MAPS.scene_height_px, MAPS.scene_width_px), 4.0)
    return ChrommFeatures(
        torch.randn(2, rows * columns, SCENE, generator=generator),
        torch.randn(2, MAPS.human_grid**2, HUMAN, generator=generator),
        depth,
        CAMERA.repeat(2, 1, 1),
        MAPS,
    )


def make_head(seed=0):
    torch.manual_seed(seed)
    return ChrommHead(SCENE, HUMAN, 64)


def run(head, features, truth):
    return head(
        *(features.scene, features.human, features.depth, features.cameras),
        *(features.patch_maps, truth.image, head_tokens(truth, features)),
    )


def test_a_head_is_as_deep_as_the_scene_there_and_the_residual():
    # Depth that grows evenly over the image, as float64.
    height, width = 28, 42
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    depth = (2.0 + 0.01 * u + 0.02 * v).double()
    scene_px = torch.tensor([[10.3, 5.7], [30.0, 20.25], [41.0, 1.5]], dtype=torch.float64)
    residual = torch.tensor([0.08, 0.12, -0.3], dtype=torch.float64)
    cameras = CAMERA.double().repeat(3, 1, 1)
    head_px = scene_px * 2.0
    found = head_place(depth.repeat(3, 1, 1), scene_px, residual, head_px, cameras)
    want = 2.0 + 0.01 * scene_px[:, 0] + 0.02 * scene_px[:, 1] + residual
    assert (found[:, 2] - want).abs().max() < 1e-6
    # And it is seen where it was detected.
    assert (project(found[:, None], cameras)[:, 0] - head_px).abs().max() < 1e-6


def test_depth_outside_of_the_image_is_that_of_its_edge_and_never_behind_the_camera():
    depth = torch.full((1, 28, 42), 3.0)
    outside = torch.tensor([[-5.0, 40.0]])
    found = head_place(depth, outside, torch.tensor([0.1]), outside, CAMERA[None])
    assert found[0, 2] == pytest.approx(3.1)
    found = head_place(depth, outside, torch.tensor([-9.0]), outside, CAMERA[None])
    assert found[0, 2] > 0


def test_a_pelvis_outside_of_the_image_stays_coarse(body):
    truth = make_truth(body)
    features, head = make_features(truth), make_head()
    with torch.no_grad():
        head.pelvis_coarse.mlp.layers[2].bias.copy_(torch.tensor([0.0, 50.0]))
        people = run(head, features, truth)
        assert not people.has_fine_pelvis.any()
        assert torch.equal(people.pelvis_px, people.pelvis_coarse_px)
        head.pelvis_coarse.mlp.layers[2].bias.zero_()
        people = run(head, features, truth)
    assert people.has_fine_pelvis.any()
    assert not torch.equal(people.pelvis_px, people.pelvis_coarse_px)


@pytest.mark.slow
def test_the_head_learns_its_people_and_finds_them_again(body):
    truth = make_truth(body)
    features, head = make_features(truth), make_head()
    steps = [(features, truth)] * 400
    history = train_stage(head, steps, body, stage=1, rate=3e-3)
    first, last = (sum(history[i].values()) for i in (0, -1))
    assert last < 0.1 * first
    assert all(history[-1][name] < history[0][name] for name in history[0])
    with torch.no_grad():
        maps = head.maps(features.human)
        image, token = head.detect(maps)
        assert sorted(zip(image.tolist(), token.tolist(), strict=True)) == sorted(
            zip(truth.image.tolist(), head_tokens(truth, features).tolist(), strict=True)
        )
        people = run(head, features, truth)
    assert (people.head_camera - truth.head_camera).norm(dim=-1).max() < 0.1
    pelvis = project(truth.mesh(body).joints, features.cameras[truth.image])[:, PELVIS]
    assert (people.pelvis_px - pelvis).abs().max() < 2.0
    overlap = (maps.mask_logits > 0) == truth.mask
    assert overlap.float().mean() > 0.8


def test_the_second_stage_changes_the_pelvis_alone_and_makes_it_better(body):
    truth = make_truth(body)
    features, head = make_features(truth), make_head()
    train_stage(head, [(features, truth)] * 60, body, stage=1, rate=3e-3)
    before = {name: p.detach().clone() for name, p in head.named_parameters()}
    history = train_stage(head, [(features, truth)] * 60, body, stage=2, rate=3e-3)
    changed = {name for name, p in head.named_parameters() if not torch.equal(p, before[name])}
    assert changed
    assert all(name.startswith("pelvis") for name in changed)
    assert history[-1]["pelvis_coarse"] < history[0]["pelvis_coarse"]
    assert np.isfinite([list(step.values()) for step in history]).all()
    assert len(stage_parameters(head, 1)) == len(list(head.parameters()))


def test_the_scale_of_the_scene_comes_from_torsos(body):
    truth = make_truth(body)
    # An image in which torsos are long enough.
    cameras = (torch.diag(torch.tensor([10.0, 10.0, 1.0])) @ CAMERA).repeat(2, 1, 1)
    pixels = project(truth.mesh(body).joints, cameras[truth.image])
    for factor in (0.5, 1.0, 1.8):
        people = ChrommPeople(
            truth.image,
            truth.rotations,
            truth.betas,
            pixels[:, HEAD],
            truth.head_camera / factor,
            pixels[:, PELVIS],
            pixels[:, PELVIS],
            torch.ones(4, dtype=torch.bool),
        )
        assert scale_correction(people, body, cameras) == pytest.approx(factor, rel=0.01)
    nothing = ChrommPeople(*(getattr(people, name)[:0] for name in people.__dataclass_fields__))
    assert scale_correction(nothing, body, cameras) is None


def test_distances_of_point_sets_and_who_faces_the_camera(body):
    a = torch.tensor([[0.0, 0, 0], [1, 0, 0]])
    assert chamfer(a, a) == 0
    assert chamfer(a, a + torch.tensor([0, 0, 2.0])) == pytest.approx(4.0)
    # A cube's front, seen from the origin.
    corners = torch.tensor([[x, y, z] for z in (2.0, 3) for y in (-0.5, 0.5) for x in (-0.5, 0.5)])
    front, back = [[0, 3, 1], [0, 2, 3]], [[4, 5, 7], [4, 7, 6]]
    assert visible(corners, np.array(front + back))[:, 2].unique().tolist() == [2.0]


def test_images_go_through_both_encoders_in_any_order(body):
    torch.manual_seed(0)
    human = HumanBackbone(HUMAN, 1, 2, 56)
    with torch.no_grad():
        human.encoder.pos_embed.normal_()
    chromm = Chromm(make_little_pi3x(), human, ChrommHead(64, HUMAN, 32))
    chromm.train()
    assert not chromm.scene.training
    assert all(name.startswith("head.") for name, p in chromm.named_parameters() if p.requires_grad)
    images, squares = make_images(2, 28, 42), 2 * torch.rand(2, 3, 56, 56) - 1
    cameras = CAMERA.repeat(2, 1, 1)
    found = chromm(images, squares, cameras, MAPS, min_score=0.45)
    people = found.people
    assert len(people.image) > 0
    order = torch.tensor([1, 0])
    other = chromm(images[order], squares[order], cameras, MAPS, min_score=0.45).people
    for number in range(2):
        mine, theirs = people.image == number, other.image == 1 - number
        want, got = people.head_camera[mine], other.head_camera[theirs]
        assert torch.allclose(got, want, rtol=1e-4, atol=1e-5)
