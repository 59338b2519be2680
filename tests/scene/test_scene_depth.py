"""Depth of images of any size, along the rays of any camera; files that are no weights."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from human3r_lab.clip_errors import demo_truth
from safetensors.torch import save_file

from human3r.demo_clip import demo_clip_path
from human3r.errors import InputError, ShapeError, WeightsError
from human3r.scene.scene_depth import (
    FORMAT,
    DepthNetwork,
    SceneDepth,
    pixel_rays,
    points_along_rays,
)
from human3r.types import Intrinsics
from tests.tracking.people import estimate_of


def camera_of(width, height, focal=150.0):
    return Intrinsics(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)


def picture(width, height, seed=0):
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 6), None, 0, 255, cv2.NORM_MINMAX)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights that nobody trained, but whose answers depend on everything."""
    generator = torch.Generator().manual_seed(3)
    state = DepthNetwork().state_dict()
    for name in ("coarse", "fine", "mixture"):
        shape = state[f"{name}.weight"].shape
        state[f"{name}.weight"] = torch.randn(shape, generator=generator) * 0.2
    path = tmp_path_factory.mktemp("weights") / "depth.safetensors"
    halves = {name: value.half() for name, value in state.items()}
    save_file(halves, path, metadata={"format": FORMAT})
    return path


@pytest.fixture(scope="module")
def scene_depth(weights):
    return SceneDepth(weights)


@pytest.mark.parametrize("size", [(96, 64), (97, 50), (64, 112), (31, 17)])
def test_every_pixel_of_any_image_has_a_depth(scene_depth, size):
    found = scene_depth(picture(*size), camera_of(*size))
    assert found.depth_m.shape == found.confidence.shape == size[::-1]
    assert found.depth_m.dtype == found.confidence.dtype == np.float32
    assert np.isfinite(found.depth_m).all()
    assert found.depth_m.min() > 0
    assert found.confidence.min() >= 1
    assert np.allclose(found.relative_error * (found.confidence - 1), 0.3, atol=1e-4)


def test_twice_the_focal_length_along_the_same_rays_is_twice_as_far():
    """The same picture, twice as large: pixels are the same, metres are not."""
    network = DepthNetwork().eval()
    image, rays = torch.rand(1, 3, 64, 96) * 2 - 1, torch.rand(1, 2, 64, 96)
    with torch.inference_mode():
        near, near_error = network(image, rays, torch.tensor([150.0]))
        far, far_error = network(image, rays, torch.tensor([300.0]))
    assert torch.allclose((far - near).exp(), torch.full_like(far, 2.0), rtol=1e-4)
    assert torch.equal(near_error, far_error)


def test_the_camera_matters(scene_depth):
    image = picture(96, 64)
    middle = scene_depth(image, camera_of(96, 64)).depth_m
    aside = scene_depth(image, replace(camera_of(96, 64), cx=10.0)).depth_m
    assert not np.allclose(middle, aside, rtol=1e-3)


def test_points_lie_along_the_rays():
    camera = replace(camera_of(40, 30, 33.0), fy=35.0, cx=17.0)
    depth = np.random.default_rng(0).uniform(1, 9, (30, 40)).astype(np.float32)
    points = points_along_rays(depth, camera)
    assert points.dtype == np.float32
    assert np.array_equal(points[..., 2], depth)
    rays = pixel_rays(40, 30, (33.0, 35.0, 17.0, 14.5)).numpy()
    assert np.allclose(points[..., :2] / depth[..., None], rays.transpose(1, 2, 0), atol=1e-6)
    u, v = (points @ camera.matrix().T.astype(np.float32) / depth[..., None])[..., :2].T
    assert np.allclose(u.T, np.arange(40), atol=1e-3)
    assert np.allclose(v.T, np.arange(30)[:, None], atol=1e-3)


def test_what_cannot_be_is_refused(scene_depth):
    image, camera = picture(64, 64), camera_of(64, 64)
    with pytest.raises(InputError, match="of an image of 64x64, got one of 96x64"):
        scene_depth(picture(96, 64), camera)
    with pytest.raises(InputError, match="focal lengths"):
        scene_depth(image, replace(camera, fx=0.0))
    with pytest.raises(InputError, match="focal lengths"):
        scene_depth(image, replace(camera, fy=float("nan")))
    with pytest.raises(InputError, match="Reduce the image"):
        scene_depth(np.zeros((1080, 1920, 3), np.uint8), camera_of(1920, 1080))
    with pytest.raises(ShapeError):
        scene_depth(image[..., 0], camera)


def test_files_that_are_no_weights_are_named(weights, tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        SceneDepth(tmp_path / "none.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="damaged"):
        SceneDepth(damaged)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(3)}, foreign)
    with pytest.raises(WeightsError, match="format"):
        SceneDepth(foreign)
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(3)}, other, metadata={"format": FORMAT})
    with pytest.raises(WeightsError, match="damaged"):
        SceneDepth(other)
    state = {name: value.half() for name, value in DepthNetwork().state_dict().items()}
    state["fine.bias"][0] = torch.nan
    save_file(state, other, metadata={"format": FORMAT})
    with pytest.raises(WeightsError, match="NaN"):
        SceneDepth(other)


def test_the_network_that_comes_along_knows_how_far_things_are():
    """On pictures of the clip that comes along, whose rooms and people its training never saw."""
    capture = cv2.VideoCapture(str(demo_clip_path()))
    scene_depth = SceneDepth()
    errors, people = [], []
    for index, view in enumerate(demo_truth()[:40]):
        ok, frame = capture.read()
        assert ok
        if index % 13:
            continue
        true = view.intrinsics
        image = cv2.resize(
            frame[..., ::-1], (true.width_px, true.height_px), None, 0, 0, cv2.INTER_AREA
        )
        ratio = scene_depth(image, true).depth_m / np.where(view.depth_m > 0, view.depth_m, np.nan)
        errors.append(np.nanmedian(np.abs(ratio - 1)))
        people.append(np.nanmedian(ratio[view.person_index > 0]))
    capture.release()
    assert np.mean(errors) < 0.25
    assert abs(np.log(np.mean(people))) < 0.25


def test_an_estimate_whose_camera_is_no_lens_keeps_its_own_depth():
    own = estimate_of([], 0, intrinsics=Intrinsics(0.001, 0.001, 1.0, 1.0, 2, 2))
    assert SceneDepth().apply(own) is own
