"""Images that hold no scene, and what is answered to them."""

import numpy as np
import pytest

from human3r.config import Settings
from human3r.io.stream_rules import SamePicture, shows_scene
from human3r.pipeline import Pipeline
from human3r.types import Frame, Intrinsics

RNG = np.random.default_rng(0)
SIZES = [(160, 120), (640, 480), (1280, 720), (120, 160)]


def flat(width, height, value=128):
    return np.full((height, width, 3), value, np.uint8)


def places(width, height):
    v, u = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return u[..., None], v[..., None]


def blocks(width, height):
    """Something to see: patches of colour."""
    small = np.random.default_rng(1).integers(0, 255, (6, 8, 3))
    return small[np.arange(height) * 6 // height][:, np.arange(width) * 8 // width]


def noise(width, height):
    return RNG.integers(0, 12, (height, width, 3)).astype(np.uint8)


def gradient(width, height):
    u, v = places(width, height)
    return np.broadcast_to(120 + 80 * u + 40 * v, (height, width, 3)).clip(0, 255).astype(np.uint8)


def light_beside_the_cover(width, height):
    u, v = places(width, height)
    light = 200 * np.exp(-(((u - 1) ** 2 + (v + 1) ** 2) / 2))
    return np.broadcast_to(light, (height, width, 3)).astype(np.uint8)


def fog(width, height):
    grain = RNG.normal(0, 2, (height, width, 3))
    return (190 + 0.03 * blocks(width, height) + grain).clip(0, 255).astype(np.uint8)


NOTHING = [flat, noise, gradient, light_beside_the_cover, fog]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("made", NOTHING)
def test_light_and_noise_are_no_scene(made, size):
    assert not shows_scene(made(*size))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("brightness", [1.0, 0.3])
def test_a_scene_at_day_and_at_dusk_is_one(size, brightness):
    image = blocks(*size) * brightness + RNG.normal(0, 3, (size[1], size[0], 3))
    assert shows_scene(image.clip(0, 255).astype(np.uint8))


def test_a_person_before_a_plain_wall_is_a_scene():
    image = flat(640, 480, 200)
    image[120:, 280:340] = 90
    assert shows_scene(image)


@pytest.mark.parametrize("source", ["corners", "network"])
@pytest.mark.parametrize("calibrated", [False, True])
def test_nothing_is_known_from_an_image_without_a_scene(
    small_network, body_model, source, calibrated
):
    settings = Settings().replace({"odometry.source": source, "people.min_score": 0.02})
    pipeline = Pipeline(small_network, body_model, settings)
    k = Intrinsics(90.0, 90.0, 79.5, 59.5, 160, 120) if calibrated else None
    scene = blocks(160, 120).astype(np.uint8)
    before = [pipeline.step(Frame(np.roll(scene, n, 1), n + 1, k)) for n in range(3)][-1]
    for n, made in enumerate(NOTHING):
        estimate = pipeline.step(Frame(made(160, 120), 10 + n, k))
        assert not estimate.state_updated
        assert not estimate.is_motion_known
        assert estimate.people == ()
        assert not estimate.depth.any()
        assert len(pipeline.points(estimate).points) == 0
        assert len(pipeline.scene_points(estimate).points) == 0
        np.testing.assert_array_equal(estimate.world_from_camera, before.world_from_camera)
    after = pipeline.step(Frame(scene, 100, k))
    assert after.state_updated
    assert after.session == before.session


SECOND_NS = 10**9


def test_a_picture_is_the_same_until_one_bit_differs():
    picture, image = SamePicture(), blocks(160, 120).astype(np.uint8)
    other = image.copy()
    other[119, 159, 2] ^= 1
    stream = [image] + [image.copy() for _ in range(4)] + [other] * 4 + [image[:, :80]]
    lasting = [picture.lasts_s(shown, n * SECOND_NS) for n, shown in enumerate(stream)]
    assert lasting == [0, 0, 0, 3, 4, 0, 0, 0, 3, 0]


@pytest.mark.parametrize("limit_s", [1.0, 0.0])
def test_nothing_is_known_from_a_frozen_picture(small_network, body_model, limit_s):
    settings = Settings().replace({"people.min_score": 0.02, "input.max_frozen_s": limit_s})
    pipeline = Pipeline(small_network, body_model, settings)
    scene = blocks(160, 120).astype(np.uint8)
    moving = [pipeline.step(Frame(np.roll(scene, n, 1), 1 + n * 10**8)) for n in range(3)]
    assert all(estimate.unseen == "" and estimate.depth.any() for estimate in moving)
    still = [pipeline.step(Frame(scene, (4 + n) * 10**8)) for n in range(12)]
    frozen = [False] * 10 + [limit_s > 0] * 2
    assert [estimate.unseen == "frozen" for estimate in still] == frozen
    for estimate, is_frozen in zip(still, frozen, strict=True):
        assert estimate.state_updated != is_frozen
        assert estimate.depth.any() != is_frozen
        assert (len(pipeline.scene_points(estimate).points) == 0) or not is_frozen
    after = pipeline.step(Frame(np.roll(scene, 5, 1), 20 * 10**8))
    assert after.state_updated
    assert after.session == moving[0].session


def test_looking_ahead_the_same_pictures_are_frozen_and_repeated(small_network, body_model):
    """The next image is compared before the one at hand is stepped."""
    scene = blocks(160, 120).astype(np.uint8)
    images = [np.roll(scene, n, 1) for n in range(3)] + [scene.copy() for _ in range(6)]
    frames = [Frame(image, 1 + n * 3 * 10**8) for n, image in enumerate([*images, images[1]])]
    pipeline = Pipeline(small_network, body_model, Settings())
    plain = [pipeline.step(frame).unseen for frame in frames]
    pipeline.reset()
    ahead, repeated = [], []
    for frame, prepared in pipeline.looking_ahead(frames):
        ahead.append(pipeline.step(frame, prepared).unseen)
        repeated.append(prepared.is_repeated)
    assert ahead == plain == [""] * 7 + ["frozen"] * 2 + [""]
    assert repeated == [False] * 4 + [True] * 5 + [False]
