"""The network of many images: its tensors, its symmetry, and what it makes of priors."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import save_file
from scipy.spatial.transform import Rotation

from human3r.errors import ConfigError, ShapeError, WeightsError
from human3r.model.hollow import hollow
from human3r.multiview.pi3x.checkpoint import load_pi3x
from human3r.multiview.pi3x.config import Pi3XConfig
from human3r.multiview.pi3x.network import Pi3X, Pi3XOutput
from human3r.multiview.pi3x.priors import Priors, rays_of
from tests.conftest import GOLDEN
from tests.multiview.pi3x.little_pi3x import LITTLE, make_images, make_little_pi3x

FIELDS = [field.name for field in dataclasses.fields(Pi3XOutput)]
PER_IMAGE = [name for name in FIELDS if name != "metric"]


@pytest.fixture(scope="module")
def network():
    return make_little_pi3x()


def test_every_published_name_and_shape_and_no_other():
    want = json.loads((GOLDEN / "pi3x_tensors.json").read_text())
    assert len(want) == 1873
    with hollow():
        state = Pi3X().state_dict()
    assert {name: list(tensor.shape) for name, tensor in state.items()} == want


@pytest.mark.parametrize(("with_priors", "millions"), [(True, 1360.0), (False, 992.5)])
def test_parameters_are_as_many_as_published(with_priors, millions):
    with hollow():
        network = Pi3X(Pi3XConfig(use_multimodal=with_priors))
    count = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert count == pytest.approx(millions, abs=0.05)


def test_the_order_of_images_does_not_matter(network):
    images, order = make_images(4), torch.tensor([2, 0, 3, 1])
    priors = make_priors(images)
    for given, permuted in (
        (None, None),
        (priors, Priors(*(getattr(priors, f)[order] for f in PRIORS))),
    ):
        straight, other = network(images, given), network(images[order], permuted)
        for name in PER_IMAGE:
            want, got = getattr(straight, name)[order], getattr(other, name)
            scale = max(1.0, float(want.abs().max()))
            assert torch.allclose(got, want, rtol=0, atol=1e-5 * scale), name
        assert torch.allclose(straight.metric, other.metric, rtol=1e-5)


def test_images_see_each_other(network):
    images = make_images(3)
    before = network(images)
    images[2] = 1 - images[2]
    assert (network(images).depth[0] - before.depth[0]).abs().max() > 1e-4


@pytest.mark.parametrize("size", [(14, 14), (28, 42), (56, 14)])
def test_one_image_gives_finite_numbers_of_its_size(network, size):
    found = network(make_images(1, *size))
    for name in FIELDS:
        assert torch.isfinite(getattr(found, name)).all(), name
    assert found.depth.shape == (1, *size)
    assert found.points_world.shape == (1, *size, 3)
    assert (found.depth > 0).all()
    assert found.metric > 0
    turn = found.world_from_camera[0, :3, :3]
    assert torch.allclose(turn @ turn.T, torch.eye(3), atol=1e-5)
    assert torch.linalg.det(turn) == pytest.approx(1.0, abs=1e-5)


def test_priors_that_are_not_given_leave_no_trace_at_all():
    images = make_images(3)
    with_branches, without = make_little_pi3x(), make_little_pi3x(use_multimodal=False)
    height, width = images.shape[-2:]
    nothing = Priors(
        depth=torch.zeros(3, height, width),
        rays=torch.full((3, height, width, 2), torch.nan),
        world_from_camera=torch.full((3, 4, 4), torch.nan),
    )
    want = without(images)
    for priors in (None, Priors(), nothing):
        got = with_branches(images, priors)
        for name in FIELDS:
            assert torch.equal(getattr(got, name), getattr(want, name)), name


PRIORS = ("depth", "rays", "world_from_camera")


def make_priors(images) -> Priors:
    count, _, height, width = images.shape
    generator = torch.Generator().manual_seed(3)
    depth = 1 + torch.rand(count, height, width, generator=generator)
    depth[0, :5] = 0
    matrices = torch.tensor([[40.0, 0, 20], [0, 41, 13], [0, 0, 1]]).repeat(count, 1, 1)
    poses = torch.eye(4).repeat(count, 1, 1)
    turns = Rotation.from_euler("y", [[10.0 * i] for i in range(count)], degrees=True).as_matrix()
    poses[:, :3, :3] = torch.from_numpy(turns).float()
    poses[:, :3, 3] = torch.randn(count, 3, generator=generator)
    return Priors(depth, rays_of(matrices, height, width), poses)


@pytest.mark.parametrize("name", PRIORS)
def test_each_prior_changes_the_answer_also_when_only_some_images_have_it(network, name):
    images = make_images(3)
    known = getattr(make_priors(images), name)
    some = known.clone()
    some[0] = torch.nan
    answers = [network(images, Priors(**{name: value})).depth for value in (known, some)]
    answers.append(network(images).depth)
    for i, one in enumerate(answers):
        assert torch.isfinite(one).all()
        assert all((one - other).abs().max() > 1e-5 for other in answers[:i])


def test_depth_counts_without_its_unit_and_poses_without_their_world(network):
    images = make_images(3)
    known = make_priors(images)
    depth, poses = known.depth, known.world_from_camera
    assert depth is not None
    assert poses is not None
    moved = torch.eye(4)
    turn = Rotation.from_euler("xyz", [20, 30, 40], degrees=True).as_matrix()
    moved[:3, :3] = torch.from_numpy(turn).float()
    moved[:3, 3] = torch.tensor([4.0, -2.0, 1.0])
    elsewhere = moved @ poses
    elsewhere[:, :3, 3] *= 3.0
    want = network(images, Priors(depth, None, poses))
    got = network(images, Priors(10 * depth, None, elsewhere))
    for name in FIELDS:
        assert torch.allclose(getattr(got, name), getattr(want, name), rtol=1e-3, atol=1e-4), name


def test_one_pose_alone_says_nothing(network):
    images = make_images(2)
    poses = torch.eye(4).repeat(2, 1, 1)
    poses[1] = torch.nan
    alone = network(images, Priors(world_from_camera=poses))
    assert torch.equal(alone.depth, network(images).depth)


def test_what_does_not_fit_is_told(network):
    with pytest.raises(ShapeError, match="multiples of 14"):
        network(make_images(1, 30, 42))
    images = make_images(2)
    with pytest.raises(ShapeError, match="expected \\(2, 28, 42\\)"):
        network(images, Priors(depth=torch.ones(2, 14, 42)))
    with pytest.raises(ShapeError, match="use_multimodal"):
        make_little_pi3x(use_multimodal=False)(images, Priors(depth=torch.ones(2, 28, 42)))
    with pytest.raises(ShapeError, match="as many images"):
        Priors(depth=torch.ones(2, 28, 42), world_from_camera=torch.eye(4)[None])
    with pytest.raises(ConfigError, match="even decoder_depth"):
        Pi3XConfig(decoder_depth=5)


def test_weights_come_back_from_a_file(network, tmp_path):
    images = make_images(2)
    for with_priors in (True, False):
        made = make_little_pi3x(use_multimodal=with_priors)
        path = tmp_path / f"{with_priors}.safetensors"
        save_file(made.state_dict(), path)
        loaded = load_pi3x(path, config=Pi3XConfig(**LITTLE))
        assert loaded.config.use_multimodal is with_priors
        assert not loaded.training
        assert torch.equal(loaded(images).depth, made(images).depth)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("camera_head.fc_t.weight"), "1 missing: camera_head.fc_t.weight"),
        (lambda t: t.update({"extra.weight": torch.ones(2)}), "1 unexpected: extra.weight"),
        (
            lambda t: t.update({"metric_token": torch.ones(1, 1, 3)}),
            r"of another shape: metric_token \(1, 1, 3\) instead of \(1, 1, 64\)",
        ),
    ],
)
def test_files_with_other_tensors_are_refused_with_their_names(network, tmp_path, change, said):
    tensors = dict(network.state_dict())
    change(tensors)
    path = tmp_path / "wrong.safetensors"
    save_file(tensors, path)
    with pytest.raises(WeightsError, match=said):
        load_pi3x(path, config=Pi3XConfig(**LITTLE))
    with pytest.raises(WeightsError, match="of another shape"):
        load_pi3x(path)


def test_all_of_it_can_be_trained():
    network = make_little_pi3x().requires_grad_(True).train()
    images = make_images(2)
    found = network(images, make_priors(images))
    loss = sum(getattr(found, name).square().mean() for name in FIELDS)
    loss.backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None]
    assert idle == []
