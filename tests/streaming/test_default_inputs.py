"""Odd pictures through everything that comes along: believable people or nobody, never nonsense."""

import cv2
import numpy as np
import pytest

from human3r.config import Settings
from human3r.pipeline import Pipeline
from human3r.types import Frame
from tests.people.pictures import PERSON

SIZE = (480, 640)
MANY = 30


@pytest.fixture(scope="module")
def pipeline():
    made = Pipeline.from_settings(Settings())
    yield made
    made.close()


def wall() -> np.ndarray:
    """A wall with a pattern, nobody before it."""
    noise = np.random.default_rng(2).integers(0, 255, (*SIZE, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 60, 200, cv2.NORM_MINMAX)


def with_person(row: int, column: int, side: int = 256) -> np.ndarray:
    """The wall with the person's picture, whose upper left corner may lie outside."""
    person = cv2.resize(PERSON, (side, side), interpolation=cv2.INTER_AREA)
    wide = cv2.copyMakeBorder(wall(), *(side,) * 4, cv2.BORDER_REFLECT_101)
    wide[side + row :, side + column :][:side, :side] = person
    return wide[side : side + SIZE[0], side : side + SIZE[1]].copy()


def crowd() -> np.ndarray:
    """Thirty small people in rows."""
    image = wall()
    small = cv2.resize(PERSON, (96, 96), interpolation=cv2.INTER_AREA)
    for index in range(MANY):
        row, column = divmod(index, 6)
        image[row * 96 :, 10 + column * 104 :][:96, :96] = small
    return image


IMAGES = {
    "nobody": wall(),
    "whole": with_person(180, 200),
    "cut at the left": with_person(180, -110),
    "cut at the right": with_person(180, 500),
    "cut at the top": with_person(-110, 200),
    "cut at the bottom": with_person(340, 200),
    "upside down": with_person(180, 200)[::-1].copy(),
    "thirty people": crowd(),
    "8x8": cv2.resize(PERSON, (8, 8), interpolation=cv2.INTER_AREA),
    "covered lens": np.full((*SIZE, 3), 3, np.uint8),
    "portrait": np.ascontiguousarray(np.rot90(with_person(180, 200))[:, ::-1]),
    "tall strip": cv2.resize(PERSON, (48, 640)),
    "mirror": np.hstack([with_person(180, 30)[:, :320], with_person(180, 30)[:, 319::-1]]),
}


def check(estimate) -> None:
    """Nothing but finite numbers, and people in front of the camera of a size people have."""
    for array in (estimate.points_camera, estimate.confidence, estimate.person_probability):
        assert np.isfinite(array).all()
    assert np.isfinite(estimate.world_from_camera).all()
    for person in estimate.people:
        body = person.body
        for array in (body.rotations, body.betas, body.head_camera, person.vertices_camera):
            assert np.isfinite(array).all()
        eigenvalues = np.linalg.eigvalsh(np.asarray(person.covariance, float).reshape(6, 6))
        assert eigenvalues.min() > 0
        height = np.ptp(person.vertices_camera, axis=0).max()
        assert 0.3 < height < 2.6
        assert 0.1 < np.linalg.norm(body.head_camera) < 100


@pytest.mark.parametrize("name", IMAGES)
def test_odd_pictures_give_believable_people_or_nobody(pipeline, name):
    image = IMAGES[name]
    pipeline.reset()
    estimates = [pipeline.step(Frame(image, 10**9 + i * 10**8)) for i in range(3)]
    for estimate in estimates:
        check(estimate)
        assert len(estimate.people) <= pipeline.settings.people.max_regions
    counts = {len(estimate.people) for estimate in estimates}
    if name in ("nobody", "covered lens", "8x8"):
        assert counts == {0}
    if name in ("whole", "portrait"):
        assert counts == {1}
    if name == "thirty people":
        assert max(counts) >= 3, "some of them, and no more than max_regions"
    if name == "mirror":
        assert max(counts) == 2
