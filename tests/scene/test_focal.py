"""The focal length that an image shows; files that fit no encoder."""

import cv2
import numpy as np
import pytest
import torch
from human3r_lab.clip_errors import demo_truth
from human3r_lab.training.focal import focal_loss
from human3r_lab.training.scene_views import plain_batch
from safetensors.torch import save_file

from human3r.demo_clip import demo_clip_path
from human3r.errors import InputError, ShapeError, WeightsError
from human3r.io import open_source
from human3r.scene.scene_depth import (
    FOCAL_FORMAT,
    FORMAT,
    DepthNetwork,
    FocalNetwork,
    SceneDepth,
    load_focal_network,
    packaged_focal_path,
    packaged_weights_path,
)
from human3r.types import Intrinsics

SIZE = 224, 168


@pytest.fixture(scope="module")
def scene_depth():
    return SceneDepth()


def frames(count):
    with open_source(str(demo_clip_path()), every=20, max_frames=count) as source:
        return [frame.image for frame in source]


def part(image, share):
    """The middle of an image, as a lens with a longer focal length sees it."""
    height, width = image.shape[:2]
    rows, columns = (round(side * (1 - share) / 2) for side in (height, width))
    middle = image[rows : height - rows, columns : width - columns]
    return cv2.resize(middle, SIZE, interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("size", [(96, 64), (64, 112), (31, 17)])
def test_any_image_has_a_focal_length_that_lenses_have(scene_depth, size):
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    assert 0.3 < scene_depth.focal_px(noise) / max(size) < 4


def test_the_clip_that_comes_along_is_seen_as_it_was_taken(scene_depth):
    camera = demo_truth()[0].intrinsics
    true = camera.fx / camera.width_px
    found = [scene_depth.focal_px(part(image, 1.0)) / SIZE[0] for image in frames(5)]
    assert np.median(found) == pytest.approx(true, rel=0.2)


def test_a_longer_lens_is_noticed(scene_depth):
    ratios = [
        scene_depth.focal_px(part(image, 0.6)) / scene_depth.focal_px(part(image, 1.0))
        for image in frames(5)
    ]
    assert np.median(ratios) > 1.15, "1.67 would be right"


def test_what_is_no_image_is_refused(scene_depth):
    with pytest.raises(ShapeError):
        scene_depth.focal_px(np.zeros((8, 8), np.uint8))
    with pytest.raises(InputError, match="at most"):
        scene_depth.focal_px(np.zeros((1100, 1100, 3), np.uint8))


def test_it_belongs_to_one_encoder(tmp_path):
    other = tmp_path / "depth.safetensors"
    save_file(DepthNetwork().state_dict(), other, metadata={"format": FORMAT})
    load_focal_network(packaged_focal_path(), packaged_weights_path())
    with pytest.raises(WeightsError, match="another encoder"):
        load_focal_network(packaged_focal_path(), other)
    with pytest.raises(WeightsError, match="no focal network"):
        SceneDepth(other).focal_px(np.zeros((32, 32, 3), np.uint8))
    wrong = tmp_path / "focal.safetensors"
    save_file(FocalNetwork().state_dict(), wrong, metadata={"format": "something"})
    with pytest.raises(WeightsError, match=FOCAL_FORMAT):
        load_focal_network(wrong, packaged_weights_path())


def test_training_learns():
    torch.manual_seed(0)
    encoder, network = DepthNetwork().eval(), FocalNetwork()
    image = np.random.default_rng(1).integers(0, 255, (64, 96, 3), np.uint8)
    camera = Intrinsics(130.0, 130.0, 47.5, 31.5, 96, 64)
    batch = plain_batch(image, np.ones((64, 96), np.float32), np.zeros((64, 96), np.uint8), camera)
    with torch.inference_mode():
        maps = encoder.encode(batch.image)
    maps = [one.clone() for one in maps]
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    errors = []
    for _ in range(12):
        loss, error = focal_loss(*network(maps, (96, 64)), batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        errors.append(error)
    assert errors[-1] < 0.3 * errors[0]
