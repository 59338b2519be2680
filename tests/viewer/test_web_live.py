"""The live page: what it draws, how much it keeps, and that it is in nobody's way."""

import socket
import threading
import time
import urllib.request
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("viser", reason="viser is not installed: pip install 'human3r[web]'")

from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.config import SceneSettings, Settings
from human3r.errors import InputError, MissingExtraError
from human3r.mapping.level import level_from_up
from human3r.viewer import web_live, web_live_process, web_scene
from human3r.viewer.web_frames import PageStart
from human3r.viewer.web_live import LivePage, Moments, open_live_page
from human3r.viewer.web_live_process import _MAX_CLOUD, LiveDrawing
from human3r.viewer.web_scene import quiet_server
from tests.browser import browser, center_of, needs_chromium, opened, wait_for
from tests.viewer import synthetic_estimates as synthetic

LEVEL_FROM_WORLD = level_from_up(np.array([0.0, -1.0, 0.0]))


def weights_of(body_model) -> np.ndarray:
    weights = np.zeros((body_model.num_vertices, 55), np.float32)
    weights[:, 0] = 1
    return weights


@pytest.fixture
def drawing(body_model):
    """A page and what makes moments for it, in this process."""
    start = PageStart("127.0.0.1", 0, 0.1, body_model.faces, weights_of(body_model))
    moments = Moments(body_model, SceneSettings())
    with quiet_server() as server:
        drawing = LiveDrawing(server, start)

        def show(estimate, *, begins_world=False, **changed):
            moment = moments.of(estimate, None, begins_world=begins_world, number=1)
            if "points" in changed:
                changed["colors"] = np.zeros(changed["points"].shape, np.uint8)
            drawing.show(replace(moment, **changed))

        drawing.draw, drawing.server = show, server
        yield drawing


@pytest.fixture(scope="module")
def page(body_model):
    with LivePage(body_model, weights_of(body_model)) as page:
        yield page


def settle(done) -> None:
    for _ in range(600):
        if done():
            return
        threading.Event().wait(0.05)
    raise AssertionError("the page did not get there")


def messages(drawing, kind: str) -> list[dict]:
    """What a browser that comes now is told, of one kind."""
    told = drawing.server.get_scene_serializer()._messages
    return [message for _, message in told if message["type"] == kind]


def bones(drawing) -> dict[str, np.ndarray]:
    """Places (55, 3) of the bones of every body in the page."""
    found = {}
    for message in messages(drawing, "SetBonePositionMessage"):
        places = found.setdefault(message["name"], np.full((55, 3), np.nan))
        places[message["bone_index"]] = message["position"]
    return found


def test_people_are_where_the_newest_estimate_says(drawing):
    for _, estimate in synthetic.walk(3):
        drawing.draw(estimate)
    pose = LEVEL_FROM_WORLD @ estimate.world_from_camera
    found = bones(drawing)
    assert len(found) == 2
    for one in estimate.people:
        expected = one.joints_camera[:55] @ pose[:3, :3].T + pose[:3, 3]
        np.testing.assert_allclose(found[f"/people/person {one.track_id}"], expected, atol=1e-5)


def test_the_level_that_the_pipeline_found_is_the_page_s(drawing):
    _, estimate = next(synthetic.walk(1))
    tilted = np.eye(4)
    tilted[:3, :3] = LEVEL_FROM_WORLD[:3, :3] @ [[1, 0, 0], [0, 0.8, 0.6], [0, -0.6, 0.8]]
    drawing.draw(replace(estimate, level_from_world=tilted))
    one = estimate.people[0]
    expected = one.joints_camera[:55] @ tilted[:3, :3].T
    found = bones(drawing)[f"/people/person {one.track_id}"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_only_so_many_people_and_points_are_kept(drawing, monkeypatch):
    monkeypatch.setattr(web_scene, "_MAX_PEOPLE", 3)
    _, estimate = next(synthetic.walk(1))
    rng = np.random.default_rng(0)
    for number in range(70):
        someone = replace(estimate.tracked[0], number=number)
        points = rng.uniform(-50, 50, (6000, 3)).astype(np.float32)
        drawing.draw(replace(estimate, tracked=(someone,)), points=points)
    assert len(drawing._scene._people) == 3
    assert len(drawing._paths) <= 64
    assert len({message["name"] for message in messages(drawing, "SkinnedMeshMessage")}) == 3
    assert 1000 < len(drawing._cloud.result()[0]) <= _MAX_CLOUD


def test_paths_of_people_long_gone_are_taken_out(drawing, monkeypatch):
    monkeypatch.setattr(web_live_process, "_MAX_PATHS", 4)
    monkeypatch.setattr(web_live_process, "_CLOUD_S", 0.0)
    _, estimate = next(synthetic.walk(1))
    for number in range(8):
        for step_m in (0.0, 0.1):
            drawing.draw(shifted(estimate, estimate.tracked[0], number, step_m))
    lines = [one["name"] for one in messages(drawing, "LineSegmentsMessage")]
    paths = [name for name in lines if name.startswith("/paths/")]
    assert 1 <= len(paths) <= 4
    assert "/paths/path of person 7" in paths


def shifted(estimate, one, number: int, step_m: float):
    """A frame with one person, who stands so much further to the right."""
    joints = one.person.joints_camera + np.float32([step_m, 0, 0])
    someone = replace(one, number=number, person=replace(one.person, joints_camera=joints))
    return replace(estimate, tracked=(someone,))


def test_a_new_world_forgets_the_old_one(drawing, monkeypatch):
    monkeypatch.setattr(web_live_process, "_CLOUD_S", 0.0)
    for _, estimate in synthetic.walk(3):
        drawing.draw(estimate)
    assert len(drawing._paths["camera"]) > 1
    assert len(drawing._cloud.result()[0]) > 0
    empty = replace(estimate, tracked=(), people=(), has_scene=False)
    drawing.draw(empty, begins_world=True)
    assert len(drawing._paths["camera"]) == 1
    assert len(drawing._cloud.result()[0]) == 0
    assert not drawing._scene._people
    lines = [one["name"] for one in messages(drawing, "LineSegmentsMessage")]
    assert not [name for name in lines if "path of" in name]


def test_whoever_is_out_of_sight_is_drawn_faintly(drawing):
    _, estimate = next(synthetic.walk(1))
    hidden = replace(estimate.tracked[0], state=2)
    drawing.draw(replace(estimate, tracked=(hidden, *estimate.tracked[1:])))
    first, second = (one.number for one in estimate.tracked[:2])
    people = drawing._scene._people
    assert people[first].mesh.opacity < 0.5
    assert people[second].mesh.opacity is None
    assert "predicted" in drawing._page._panel.shown


def test_the_ellipsoid_is_two_deviations_long_along_its_axes(drawing):
    _, estimate = next(synthetic.walk(1))
    covariance = np.diag([0.01, 0.04, 0.09, 1, 1, 1]).astype(np.float32).ravel()
    one = replace(estimate.tracked[0], covariance=covariance)
    drawing.draw(replace(estimate, tracked=(one,)))
    ellipsoid = drawing._scene._people[one.number].ellipsoid
    np.testing.assert_allclose(sorted(ellipsoid.scale), [0.2, 0.4, 0.6], atol=1e-5)
    # Forward of the camera, its z, is x of the page: the longest axis.
    w, x, y, z = ellipsoid.wxyz
    longest = np.array([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])
    np.testing.assert_allclose(np.abs(longest), [1, 0, 0], atol=1e-5)


def test_the_page_can_be_opened_on_this_machine_alone(page):
    assert page.address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(page.address, timeout=30) as answer:
        assert b"<html" in answer.read().lower()


def test_estimates_that_come_too_fast_are_overtaken_not_queued(page):
    _, estimate = next(synthetic.walk(1))
    before = page.num_drawn
    began_s = time.monotonic()
    for number in range(2000):
        page.show(replace(estimate, stamp_ns=number + 1))
    spent_s = time.monotonic() - began_s
    settle(lambda: page._waiting is None)
    # It asks ten times a second at most, and once where nobody looks.
    assert page.num_drawn - before <= 3 + 10 * spent_s


def test_a_frame_that_cannot_be_drawn_is_logged_and_the_next_is_shown(page, caplog):
    _, estimate = next(synthetic.walk(1))
    page.show(replace(estimate, world_from_camera=np.eye(3)))
    settle(lambda: "cannot show the frame" in caplog.text)
    before = page.num_drawn
    page.show(estimate)
    settle(lambda: page._waiting is None)
    page.show(estimate)
    settle(lambda: page.num_drawn > before)


def test_nobody_suffers_when_the_page_dies(body_model, caplog):
    page = LivePage(body_model, weights_of(body_model))
    page._process.kill()
    settle(lambda: "the live page has ended" in caplog.text)
    page.show(next(synthetic.walk(1))[1])
    page.close()
    page.close()


def test_the_process_ends_with_the_page(body_model):
    page = LivePage(body_model, weights_of(body_model))
    assert page._process.poll() is None
    page.close()
    assert page._process.poll() == 0


def test_a_taken_port_and_a_missing_package_are_named(body_model, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} of 127.0.0.1 is taken"):
            LivePage(body_model, weights_of(body_model), port=port)
    monkeypatch.setattr(web_live, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="extra 'web'"):
        LivePage(body_model, weights_of(body_model))


@needs_chromium
@pytest.mark.slow
def test_two_browsers_see_people_move_live(body_model, page):
    _, estimate = next(synthetic.walk(1))
    # Skin has no weights here, so bodies stand upright: enough to see where they are.
    with browser() as chromium:
        tabs = [opened(chromium, page.address) for _ in range(2)]
        settle_with(page, estimate, tabs, lambda: page.num_browsers == 2)
        before = [seen(page, estimate, tab) for tab, _ in tabs]
        moved = np.array([1.0, 0.0, 0.0], np.float32)
        people = tuple(
            replace(one, person=replace(one.person, joints_camera=one.person.joints_camera + moved))
            for one in estimate.tracked
        )
        later = replace(estimate, tracked=people, frame_index=5)
        for (tab, errors), place in zip(tabs, before, strict=True):

            def has_moved(tab=tab, place=place):
                page.show(later)
                now = center_of(tab, 1)
                return now if now is not None and np.linalg.norm(now - place) > 5 else None

            wait_for(has_moved, tab)
            tab.get_by_text("distance").wait_for()
            assert errors == []


def settle_with(page, estimate, tabs, done) -> None:
    for _ in range(200):
        page.show(estimate)
        if done():
            return
        tabs[0][0].wait_for_timeout(300)
    raise AssertionError("the page did not get there")


def seen(page, estimate, tab) -> np.ndarray:
    def look():
        page.show(estimate)
        return center_of(tab, 1)

    return wait_for(look, tab)


def test_the_page_opens_with_the_body_model_that_comes_along():
    body = load_body_model(default_body_path())
    # A node's settings name no file unless its user does.
    with open_live_page(Settings().replace({"web.port": 0}), body) as page:
        assert page.address.startswith("http://127.0.0.1:")


@needs_chromium
@pytest.mark.slow
def test_a_page_outlives_people_and_worlds_and_comes_back_with_its_server(body_model):
    frames = [estimate for _, estimate in synthetic.walk(2)]
    start = PageStart("127.0.0.1", 0, 0.1, body_model.faces, weights_of(body_model))
    with browser() as chromium:
        with quiet_server() as server:
            drawing, moments = LiveDrawing(server, start), Moments(body_model, SceneSettings())
            drawing.show(moments.of(frames[0], None, begins_world=False, number=1))
            port = server.get_port()
            tab, errors = opened(chromium, f"http://127.0.0.1:{port}")
            wait_for(lambda: center_of(tab, 1), tab)
            nobody = replace(frames[1], tracked=(), people=())
            drawing.show(moments.of(nobody, None, begins_world=True, number=2))
            wait_for(lambda: True if center_of(tab, 1) is None else None, tab)
            drawing.show(moments.of(frames[1], None, begins_world=True, number=3))
            wait_for(lambda: center_of(tab, 1), tab)
            assert errors == []
        with quiet_server(port) as server:
            drawing, moments = LiveDrawing(server, start), Moments(body_model, SceneSettings())
            drawing.show(moments.of(frames[0], None, begins_world=False, number=9))
            tab.get_by_text("frame 9").wait_for()
            tab.wait_for_function("performance.now() > 5000")
            assert tab.locator("canvas").count()
            assert tab.get_by_text("frame 9").is_visible()
