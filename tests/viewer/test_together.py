"""The picture of several cameras: a cell for each, everybody in one colour, the room from above."""

import numpy as np

from human3r.multiview.fuser import Fuser
from human3r.viewer.colors import person_color
from human3r.viewer.together import draw_plan, draw_together
from tests.multiview.rooms import Noise, body_model, camera_at, people, seen_by

POSES = {"left": camera_at(0.0), "right": camera_at(1.5)}


def fused():
    rng = np.random.default_rng(1)
    bodies = people(rng, np.array([[0.0, 0.5, 0.95], [0.5, -1.0, 0.95]]))
    views = [seen_by(rng, n, p, bodies, Noise(), numbers=[2, 5]) for n, p in POSES.items()]
    return Fuser(body_model().joint_parents).step(views).people


def count(image, color):
    return int((np.abs(image.astype(int) - color).max(-1) < 6).sum())


def test_the_plan_shows_everybody_in_their_colour():
    found = fused()
    plan = draw_plan(found, POSES)
    empty = draw_plan([], POSES)
    for person in found:
        color = person_color(person.number)
        assert count(plan, color) > 50
        assert count(empty, color) == 0


def test_the_plan_is_seen_from_above_with_y_up():
    color = person_color(0)
    rng = np.random.default_rng(2)
    rows = []
    for y in (-1.0, 1.0):
        body = people(rng, np.array([[0.0, y, 0.95]]))
        view = seen_by(rng, "left", POSES["left"], body, Noise(0, 0, 0))
        plan = draw_plan(Fuser(body_model().joint_parents).step([view]).people, POSES)
        rows.append(np.argwhere(np.abs(plan.astype(int) - color).max(-1) < 6)[:, 0].mean())
    assert rows[1] < rows[0]


def test_a_camera_without_an_image_has_a_cell_too():
    picture = draw_together({}, {}, fused(), POSES)
    assert picture.shape == (960, 1280, 3)
