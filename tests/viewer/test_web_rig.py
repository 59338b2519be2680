"""The page of several cameras: each person once, every camera's frustum, name, image and state."""

import time
from dataclasses import replace

import msgspec
import numpy as np
import pytest

pytest.importorskip("viser", reason="viser is not installed: pip install 'human3r[web]'")

import viser
from viser._messages import ViewerCameraMessage
from websockets import Subprotocol
from websockets.sync.client import connect

from human3r.config import SceneSettings
from human3r.multiview.fuser import Fuser
from human3r.multiview.sight import CameraSight, RigSight
from human3r.viewer.web_frames import PageStart, overview
from human3r.viewer.web_live import LivePage, Moments
from human3r.viewer.web_live_process import LiveDrawing
from human3r.viewer.web_scene import quiet_server
from tests.browser import browser, center_of, center_of_color, needs_chromium, opened, wait_for
from tests.multiview.rooms import Noise, body_model, camera_at, people, seen_by
from tests.viewer import synthetic_estimates as synthetic
from tests.waiting import wait_until

PLACES = np.array([[-1.0, 0.2, 0.95], [1.0, -0.2, 0.95]])
POSES = {"left": camera_at(0.0), "right": camera_at(1.4)}
COLORS = {"left": (200, 30, 30), "right": (200, 30, 200)}


def weights() -> np.ndarray:
    found = np.zeros((body_model().num_vertices, 55), np.float32)
    found[:, 0] = 1
    return found


def sight(**changes) -> RigSight:
    """A moment of two cameras; ``changes`` are for the camera on the right."""
    rng = np.random.default_rng(0)
    bodies = people(np.random.default_rng(1), PLACES)
    views = [seen_by(rng, name, pose, bodies, Noise()) for name, pose in POSES.items()]
    estimate = Fuser(body_model().joint_parents).step(views)
    cameras = [
        CameraSight(
            view.view,
            view.world_from_camera,
            view.lens,
            np.full((480, 640, 3), COLORS[view.view], np.uint8),
            age="0.1 s",
            residual="3 px",
        )
        for view in views
    ]
    cameras[1] = replace(cameras[1], **changes)
    return RigSight(estimate.stamp_ns, estimate.people, cameras)


@pytest.fixture
def drawing():
    start = PageStart("127.0.0.1", 0, 0.1, body_model().faces, weights())
    moments = Moments(body_model(), SceneSettings())
    with quiet_server() as server:
        drawing = LiveDrawing(server, start)
        drawing.server, drawing.moments = server, moments
        drawing.draw = lambda seen: drawing.show(moments.of_rig(seen, begins_world=False, number=1))
        yield drawing


def told(drawing, kind: str) -> list[dict]:
    """What a browser that comes now is told, of one kind."""
    found = drawing.server.get_scene_serializer()._messages
    return [message for _, message in found if message["type"] == kind]


def test_each_person_is_in_the_page_once_and_where_the_fusion_says(drawing):
    seen = sight()
    drawing.draw(seen)
    assert [one.number for one in seen.people] == list(drawing._scene._people)
    places = {}
    for message in told(drawing, "SetBonePositionMessage"):
        places[message["name"], message["bone_index"]] = message["position"]
    for one in seen.people:
        for joint in range(55):
            found = places[f"/people/person {one.number}", joint]
            np.testing.assert_allclose(found, one.joints_world[joint], atol=1e-5)


def test_every_camera_has_its_frustum_with_name_image_and_lens(drawing):
    drawing.draw(sight())
    frusta = drawing._scene._cameras
    assert set(frusta) == set(POSES)
    for name, pose in POSES.items():
        np.testing.assert_allclose(frusta[name].frustum.position, pose[:3, 3], atol=1e-6)
        assert frusta[name].frustum.fov == pytest.approx(2 * np.arctan(240 / 600))
        assert frusta[name].frustum.image is not None
        assert frusta[name].label.text == name
    assert {one["name"] for one in told(drawing, "CameraFrustumMessage")} == {
        "/camera/frustum of left",
        "/camera/frustum of right",
    }


def test_the_panel_says_how_each_camera_is_doing(drawing):
    drawing.draw(sight(trouble="camera right: its people lie 40 px from where the others do"))
    shown = drawing._page._cameras.shown
    assert shown.index(">left<") < shown.index(">right<")
    for text in ("0.1 s", "3 px", "fused", "in doubt", "its people lie 40 px"):
        assert text in shown
    assert "2 of 2" in drawing._page._panel.shown


def test_a_silent_camera_is_grey_without_image_and_gets_it_back(drawing):
    drawing.draw(sight(is_silent=True))
    right = drawing._scene._cameras["right"]
    assert right.frustum.image is None
    assert right.label.text == "right (silent)"
    assert "silent" in drawing._page._cameras.shown
    assert tuple(right.frustum.color) != tuple(drawing._scene._cameras["left"].frustum.color)
    drawing.draw(sight())
    assert right.frustum.image is not None
    assert right.label.text == "right"
    assert "silent" not in drawing._page._cameras.shown


def test_points_of_all_cameras_meet_in_one_cloud(drawing):
    _, estimate = next(synthetic.walk(1))
    seen = sight(estimate=estimate)
    left = replace(seen.cameras[0], estimate=estimate)
    moment = drawing.moments.of_rig(
        replace(seen, cameras=[left, seen.cameras[1]]), begins_world=False, number=1
    )
    assert len(moment.points) == len(moment.colors) > 100
    # The same points in front of each camera, so each is the nearer one for its half.
    far_m = [np.linalg.norm(moment.points - pose[:3, 3], axis=1) for pose in POSES.values()]
    share = np.mean(far_m[0] < far_m[1])
    assert 0.2 < share < 0.8
    again = drawing.moments.of_rig(seen, begins_world=False, number=2)
    assert len(again.points) == 0, "choosing them takes long; it is not done for every moment"


def test_one_camera_and_several_follow_each_other_in_one_page(drawing):
    drawing.draw(sight())
    _, estimate = next(synthetic.walk(1))
    drawing.show(drawing.moments.of(estimate, None, begins_world=True, number=2))
    assert set(drawing._scene._cameras) == {""}
    assert drawing._page._cameras.shown == ""


@pytest.mark.parametrize("angles", [(0.0, 1.4), (0.0, np.pi), (0.0, 2.1, 4.2)])
def test_the_overview_has_all_cameras_and_people_before_it(drawing, angles):
    poses = [camera_at(angle) for angle in angles]
    seen = sight()
    cameras = [
        replace(seen.cameras[0], name=str(i), world_from_camera=p) for i, p in enumerate(poses)
    ]
    frame = drawing.moments.of_rig(
        replace(seen, cameras=cameras), begins_world=False, number=1
    ).frame
    eye, target = overview(frame)
    ahead = (target - eye) / np.linalg.norm(target - eye)
    for place in [*(p[:3, 3] for p in poses), *(one.joints[0] for one in frame.people)]:
        away = place - eye
        assert np.degrees(np.arccos(away @ ahead / np.linalg.norm(away))) < 50


def looks_from(server, socket, eye) -> np.ndarray:
    """Where a browser looks from, soon after it reported that it looks from ``eye``."""
    report = ViewerCameraMessage(
        wxyz=(1, 0, 0, 0),
        position=eye,
        look_at=(0, 0, 0),
        up_direction=(0, 0, 1),
        fov=1.0,
        near=0.1,
        far=100.0,
        image_height=600,
        image_width=1000,
    )
    before = set(server.get_clients())
    socket.send(msgspec.msgpack.encode(report.as_serializable_dict([])))
    wait_until(lambda: set(server.get_clients()) - before, 20, "the browser")
    (number,) = set(server.get_clients()) - before
    camera = server.get_clients()[number].camera
    end_s = time.monotonic() + 1.0
    while np.allclose(camera.position, eye) and time.monotonic() < end_s:
        time.sleep(0.01)
    return camera.position


def test_a_browser_that_draws_its_first_picture_late_is_turned_to_where_people_are(drawing):
    server, seen = drawing.server, sight()
    first = tuple(server.initial_camera.position)
    address = f"ws://127.0.0.1:{server.get_port()}"
    protocol = Subprotocol(f"viser-v{viser.__version__}")
    with connect(address, subprotocols=[protocol], compression=None, max_size=None) as socket:
        drawing.draw(seen)
        eye, _ = overview(drawing.moments.of_rig(seen, begins_world=False, number=2).frame)
        assert np.linalg.norm(eye - first) > 1
        np.testing.assert_allclose(looks_from(server, socket, first), eye, atol=1e-6)
    with connect(address, subprotocols=[protocol], compression=None, max_size=None) as socket:
        # A view of somebody's own, named in the address of the page.
        np.testing.assert_allclose(looks_from(server, socket, (7, 8, 9)), (7, 8, 9))


@needs_chromium
@pytest.mark.slow
def test_a_browser_sees_people_cameras_and_what_is_wrong(tmp_path):
    seen = sight(trouble="camera right: its people lie 40 px from where the others do")
    with LivePage(body_model(), weights(), port=0) as page, browser() as chromium:
        tab, errors = opened(chromium, page.address)
        tab.set_viewport_size({"width": 1000, "height": 600})

        def look(find, what):
            page.show_rig(seen)
            return find(tab, what, 0.66)

        for one in seen.people:
            wait_for(lambda one=one: look(center_of, one.number), tab)
        tab.get_by_text("its people lie 40 px").wait_for()
        for name, color in COLORS.items():
            tab.get_by_text(name, exact=True).wait_for()
            # The image in the frustum.
            wait_for(lambda color=color: look(center_of_color, color), tab)
        tab.screenshot(path=tmp_path / "rig.png", timeout=120_000)
        assert errors == []
