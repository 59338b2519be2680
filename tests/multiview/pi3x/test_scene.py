"""From images and what is known of them to a metric scene."""

import numpy as np
import pytest
import torch

from human3r.errors import InputError
from human3r.geometry import invert
from human3r.multiview.pi3x.network import Pi3XOutput
from human3r.multiview.pi3x.priors import rays_of
from human3r.multiview.pi3x.scene import fit_camera, prepared, scene_from_images
from human3r.types import Intrinsics
from tests.multiview.pi3x.little_pi3x import make_little_pi3x
from tests.multiview.rooms import camera_at, rotation_about

HEIGHT, WIDTH = 42, 56
CAMERA = Intrinsics(50.0, 52.0, 27.0, 20.0, WIDTH, HEIGHT)
POSES = [camera_at(angle) for angle in (0.0, 0.4, 0.9)]
UNIT_M = 2.5
"""Metres per unit of the network."""


class Oracle:
    """A network that knows the floor z = 0, in a world and a unit of its own."""

    image_mean = torch.zeros(1)

    def __init__(self, wrong_metric=1.0):
        self.wrong_metric, self.priors = wrong_metric, None

    def __call__(self, images, priors):
        self.priors = priors
        own_from_world = np.eye(4)
        own_from_world[:3, :3] = rotation_about("x", 70.0) @ rotation_about("z", 25.0)
        own_from_world[:3, 3] = 1.0, -2.0, 0.5
        poses = np.stack([own_from_world @ pose for pose in POSES])
        poses[:, :3, 3] /= UNIT_M
        rays = rays_of(torch.from_numpy(CAMERA.matrix())[None], HEIGHT, WIDTH)[0]
        return Pi3XOutput(
            rays.repeat(len(POSES), 1, 1, 1),
            torch.from_numpy(np.stack([floor_depth_m(pose) for pose in POSES]) / UNIT_M),
            torch.full((len(POSES), HEIGHT, WIDTH), 2.0),
            torch.from_numpy(poses),
            torch.tensor(UNIT_M * self.wrong_metric),
            torch.zeros(len(POSES), 1, 1),
        )


def floor_depth_m(pose):
    rays = rays_of(torch.from_numpy(CAMERA.matrix())[None], HEIGHT, WIDTH)[0].numpy()
    directions = np.concatenate([rays, np.ones((HEIGHT, WIDTH, 1))], -1) @ pose[:3, :3].T
    # Above the horizon the ceiling, at 3 m.
    down = directions[..., 2]
    return np.where(down < 0, -pose[2, 3], 3.0 - pose[2, 3]) / np.where(down == 0, 1e-3, down)


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8) for _ in POSES]


def test_known_poses_give_world_and_metres(images):
    scene = scene_from_images(Oracle(wrong_metric=3.0), images, world_from_camera=POSES)  # pyright: ignore
    assert scene.scale_from == "poses"
    for view, pose in zip(scene.views, POSES, strict=True):
        assert np.allclose(view.world_from_camera, pose, atol=1e-6)
        assert np.allclose(view.depth_m, floor_depth_m(pose), rtol=1e-5)
        z = view.points_world[..., 2]
        near = view.depth_m < 50  # not at the horizon
        assert np.minimum(np.abs(z), np.abs(z - 3))[near].max() < 1e-3
        assert (view.intrinsics.fx, view.intrinsics.cy) == pytest.approx((50.0, 20.0), abs=1e-4)


def test_two_of_the_poses_are_enough(images):
    scene = scene_from_images(Oracle(), images, world_from_camera=[POSES[0], None, POSES[2]])  # pyright: ignore
    assert np.allclose(scene.views[1].world_from_camera, POSES[1], atol=1e-6)


def test_without_poses_the_first_camera_is_the_world_and_depth_gives_metres(images):
    depths = [None, floor_depth_m(POSES[1]), None]
    oracle = Oracle(wrong_metric=3.0)
    scene = scene_from_images(oracle, images, depths_m=depths)  # pyright: ignore
    assert scene.scale_from == "depth"
    assert np.allclose(scene.views[0].world_from_camera, np.eye(4), atol=1e-9)
    want = invert(POSES[0]) @ POSES[2]
    assert np.allclose(scene.views[2].world_from_camera, want, atol=1e-5)
    assert torch.isnan(oracle.priors.depth[0]).all()
    alone = scene_from_images(Oracle(), images)  # pyright: ignore
    assert alone.scale_from == "network"
    assert np.allclose(alone.views[2].world_from_camera, want, atol=1e-5)


def test_known_cameras_become_rays_of_the_resized_image(images):
    oracle = Oracle()
    large = [np.repeat(np.repeat(image, 3, 0), 3, 1) for image in images]
    lens = Intrinsics(150.0, 156.0, 3 * 27.5 - 0.5, 3 * 20.5 - 0.5, 3 * WIDTH, 3 * HEIGHT)
    scene_from_images(
        oracle,  # pyright: ignore[reportArgumentType]
        large,
        cameras=[lens, None, lens],
        max_pixels=HEIGHT * WIDTH,
    )
    rays = oracle.priors.rays
    assert torch.isnan(rays[1]).all()
    want = rays_of(torch.from_numpy(CAMERA.matrix())[None], HEIGHT, WIDTH)[0].float()
    assert torch.allclose(rays[0], want, atol=1e-5)


def test_points_are_those_that_can_be_relied_on(images):
    scene = scene_from_images(Oracle(), images)  # pyright: ignore
    places, colours = scene.points(0.5)
    assert len(places) == len(colours) == len(POSES) * HEIGHT * WIDTH
    assert len(scene.points(0.95)[0]) == 0


def test_the_network_itself_goes_through(images):
    network = make_little_pi3x()
    scene = scene_from_images(network, images, cameras=[CAMERA] * 3, world_from_camera=POSES)
    assert np.isfinite(scene.points(0.0)[0]).all()
    # Weights that make all rays alike are told.
    torch.nn.init.zeros_(network.point_head.output_block[0][2].weight)
    with pytest.raises(InputError, match="Are the network's weights trained"):
        scene_from_images(network, images)


def test_sizes_are_multiples_of_fourteen_and_shapes_must_agree(images):
    found = prepared([np.zeros((480, 640, 3), np.uint8)] * 2)
    assert {image.shape for image in found} == {(434, 588, 3)}
    assert prepared([np.zeros((10, 10, 3), np.uint8)])[0].shape == (14, 14, 3)
    with pytest.raises(InputError, match="image 1 is 640x400"):
        prepared([np.zeros((480, 640, 3), np.uint8), np.zeros((400, 640, 3), np.uint8)])
    with pytest.raises(InputError, match="at least one"):
        prepared([])
    with pytest.raises(InputError, match="cameras has 1 entries for 3 images"):
        scene_from_images(Oracle(), images, cameras=[CAMERA])  # pyright: ignore


def test_a_camera_is_read_from_rays_and_mirrored_ones_are_refused():
    rays = rays_of(torch.from_numpy(CAMERA.matrix())[None], HEIGHT, WIDTH)[0].numpy()
    rng = np.random.default_rng(1)
    found = fit_camera(rays + rng.normal(0, 0.01, rays.shape), np.ones((HEIGHT, WIDTH)))
    assert found.fx == pytest.approx(50.0, rel=0.01)
    assert found.cx == pytest.approx(27.0, abs=0.5)
    with pytest.raises(InputError, match="expected those of a camera"):
        fit_camera(-rays, np.ones((HEIGHT, WIDTH)))
