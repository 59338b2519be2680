"""Features that other images see too correct the depth of a whole image, whatever the poses."""

import cv2
import numpy as np
import pytest

from human3r.scene.depth_adjustment import DepthPrior, Sighting, adjust

_WIDTH, _HEIGHT, _FOCAL = 224, 160, 200.0
_CAMERA = np.array([[_FOCAL, 0, _WIDTH / 2], [0, _FOCAL, _HEIGHT / 2], [0, 0, 1.0]])
_STDDEV = 0.15


def _log_depth(pixels: np.ndarray) -> np.ndarray:
    """A room: it recedes to the right, with a bend."""
    return np.log(3 + pixels[:, 0] / 150 + np.maximum(pixels[:, 1] - 100, 0) / 80)


def _error(pixels: np.ndarray) -> np.ndarray:
    """The network's, smooth and without mean."""
    return 0.15 * np.sin(pixels[:, 0] / 45) * np.cos(pixels[:, 1] / 50)


def _prior(pixels: np.ndarray) -> DepthPrior:
    log_depth = _log_depth(pixels) + _error(pixels)
    return DepthPrior(pixels / _WIDTH, log_depth, np.full(len(pixels), _STDDEV))


def _sightings(
    pixels: np.ndarray, rays: np.ndarray, noise_px: float, pose_off_m: float
) -> list[Sighting]:
    rng = np.random.default_rng(4)
    points = rays * np.exp(_log_depth(pixels))[:, None]
    found = []
    for shift in ([0.3, 0, 0], [-0.2, 0.1, 0], [0, -0.15, 0.2]):
        pose = np.eye(4)
        pose[:3, :3] = cv2.Rodrigues(rng.normal(0, 0.02, 3))[0]
        pose[:3, 3] = shift
        there = points @ pose[:3, :3].T + pose[:3, 3]
        seen = (there / there[:, 2:]) @ _CAMERA[:2].T + rng.normal(0, noise_px, (len(pixels), 2))
        about = pose.copy()
        about[:3, 3] += rng.normal(0, pose_off_m, 3)
        found.append(Sighting(about, seen, np.ones(len(pixels), bool), _CAMERA))
    return found


def _scene(count: int = 150, noise_px: float = 0.2, pose_off_m: float = 0.02):
    rng = np.random.default_rng(3)
    pixels = rng.uniform((5, 5), (_WIDTH - 5, _HEIGHT - 5), (count, 2))
    rays = np.column_stack((pixels, np.ones(count))) @ np.linalg.inv(_CAMERA).T
    return pixels, rays, _sightings(pixels, rays, noise_px, pose_off_m)


def _bend(values: np.ndarray) -> float:
    """Standard deviation: a common factor is not known."""
    return float(values.std())


_ELSEWHERE = np.random.default_rng(5).uniform((5, 5), (_WIDTH - 5, _HEIGHT - 5), (500, 2))


@pytest.mark.parametrize("pose_off_m", [0.0, 0.02, 0.05])
def test_depth_between_features_is_corrected_though_poses_are_off(pose_off_m):
    pixels, rays, sightings = _scene(pose_off_m=pose_off_m)
    found = adjust(rays, _prior(pixels), sightings, _WIDTH)
    correction, explained = found.at(_prior(_ELSEWHERE))
    assert _bend(_error(_ELSEWHERE)) > 0.07
    assert _bend(_error(_ELSEWHERE) + correction) < 0.025
    assert 0.3 < np.median(explained) < 1


def test_a_fifth_of_the_features_may_be_wrong():
    pixels, rays, sightings = _scene()
    rng = np.random.default_rng(6)
    for sighting in sightings:
        sighting.pixels[rng.choice(len(pixels), 30, replace=False)] += (9, -7)
    correction, _ = adjust(rays, _prior(pixels), sightings, _WIDTH).at(_prior(_ELSEWHERE))
    assert _bend(_error(_ELSEWHERE) + correction) < 0.035


def test_without_parallax_nothing_is_changed_and_nothing_explained():
    """A camera that turned: whatever the depth, features lie where they lie."""
    pixels, rays, _ = _scene()
    turned = np.eye(4)
    turned[:3, :3] = cv2.Rodrigues(np.array([0.02, 0.05, 0.01]))[0]
    there = rays @ turned[:3, :3].T
    seen = (there / there[:, 2:]) @ _CAMERA[:2].T
    sighting = Sighting(turned, seen, np.ones(len(pixels), bool), _CAMERA)
    correction, explained = adjust(rays, _prior(pixels), [sighting], _WIDTH).at(_prior(pixels))
    assert np.abs(correction).max() < 0.01
    assert np.median(explained) < 0.1


def test_pixels_far_from_all_features_are_explained_less():
    pixels, rays, _ = _scene()
    left = pixels[:, 0] < 80
    sightings = _sightings(pixels[left], rays[left], 0.2, 0.0)
    found = adjust(rays[left], _prior(pixels[left]), sightings, _WIDTH)
    _, explained = found.at(_prior(_ELSEWHERE))
    is_far = _ELSEWHERE[:, 0] > 160
    assert np.median(explained[is_far]) < 0.75 * np.median(explained[_ELSEWHERE[:, 0] < 80])


def test_too_few_features_say_nothing():
    pixels, rays, sightings = _scene()
    for sighting in sightings:
        sighting.is_found[10:] = False
    assert adjust(rays, _prior(pixels), sightings, _WIDTH) is None
