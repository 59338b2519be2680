"""The page of `export --format html` and of `view`: its numbers, and in a real browser."""

import base64
import json
import re
import socket
import struct
import threading
from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("viser", reason="viser is not installed: pip install 'human3r[web]'")

import msgspec
import zstandard

from human3r.cli.main import main
from human3r.errors import InputError
from human3r.export import export
from human3r.export.clip import make_clip
from human3r.export.open_result import open_result
from human3r.export.skin import load_skin
from human3r.export.web import ClipFrames, serve
from human3r.export.worlds import choose_world
from tests.browser import browser, center_of, needs_chromium, opened, wait_for
from tests.export import results


def messages(path) -> tuple[float, list[tuple[float, dict]]]:
    """What a page replays: its length in seconds, and messages with their times."""
    text = path.read_text()
    data = base64.b64decode(re.search(r'__VISER_EMBED_DATA__="([^"]*)"', text).group(1))
    inner = zstandard.ZstdDecompressor().decompressobj().decompress(data[8:])
    (length,) = struct.unpack("<Q", inner[:8])
    recording = msgspec.msgpack.decode(inner[8 : 8 + length])
    return recording["durationSeconds"], recording["messages"]


def test_a_page_replays_everybodys_joints_at_their_times(make):
    run, out = make(9, 1.3)
    path = export(run, "html", out / "a.html").path
    assert "z up" in path.read_text()
    seconds, replayed = messages(path)
    assert seconds == pytest.approx(6 / results.RATE_HZ)
    expected = results.joints_in(run, results.tilted(results.UP_TILT)["level"])
    bones = {(track, frame): np.full((55, 3), np.nan) for track, frame in expected}
    visible = {}
    for time_s, message in replayed:
        frame = round(time_s * results.RATE_HZ)
        name = re.fullmatch(r"/people/person (\d+)", message.get("name", ""))
        if name and message["type"] == "SetBonePositionMessage":
            bones[int(name[1]), frame][message["bone_index"]] = message["position"]
        if name and message["type"] == "SetSceneNodeVisibilityMessage":
            visible[int(name[1]), frame] = message["visible"]
    for key, joints in bones.items():
        np.testing.assert_allclose(joints, expected[key][:55], atol=1e-4)
    # The second person is missing in frames 2 and 3.
    assert [frame for (track, frame), seen in visible.items() if track == 7 and not seen] == [2]
    assert visible[7, 4] is True


@needs_chromium
@pytest.mark.slow
def test_the_page_opens_from_disk_and_its_slider_moves_people(make):
    run, out = make(9)
    path = export(run, "html", out / "a.html", track_ids=[3]).path
    with browser() as chromium:
        page, errors = opened(chromium, path.resolve().as_uri())
        clock = page.locator("input").first

        def set_clock(time_s: str) -> None:
            clock.fill(time_s)
            clock.press("Enter")

        def has_moved() -> bool | None:
            place = center_of(page, 3)
            return True if place is not None and np.linalg.norm(place - first) > 2 else None

        set_clock("0")
        page.wait_for_timeout(1500)
        first = wait_for(lambda: center_of(page, 3), page)
        set_clock("0.5")
        wait_for(has_moved, page)
        assert errors == []


@contextmanager
def served(run, body_file):
    """The address of `human3r view`."""
    stop, ready, addresses = threading.Event(), threading.Event(), []

    def tell(address: str) -> None:
        addresses.append(address)
        ready.set()

    options = {"host": "127.0.0.1", "port": 0, "max_points": 1000, "min_share": 0.1}
    options |= {"body_model": body_file, "stop": stop, "ready": tell}
    thread = threading.Thread(target=serve, args=(run,), kwargs=options)
    thread.start()
    try:
        assert ready.wait(60)
        yield addresses[0]
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


@needs_chromium
@pytest.mark.slow
def test_two_browsers_see_a_recording_play(make, body_file):
    with served(make(9)[0], body_file) as address, browser() as chromium:
        pages = [opened(chromium, address) for _ in range(2)]
        for page, errors in pages:
            page.get_by_text("stature").wait_for()
            first = page.locator("input[value$=' s']").input_value()
            page.wait_for_function(
                "first => [...document.querySelectorAll('input')].some("
                "one => one.value.endsWith(' s') && one.value !== first)",
                arg=first,
            )
            assert wait_for(lambda page=page: center_of(page, 3), page) is not None
            assert errors == []


@needs_chromium
@pytest.mark.slow
def test_the_slider_of_a_recording_moves_people_and_layers_hide_them(make, body_file):
    with served(make(9)[0], body_file) as address, browser() as chromium:
        page, errors = opened(chromium, address)
        page.set_viewport_size({"width": 900, "height": 360})
        page.get_by_text("stature").wait_for()
        page.get_by_label("play", exact=True).uncheck()
        page.wait_for_timeout(1500)
        places = []
        for key, time_s in (("Home", "0.00 s"), ("End", "0.50 s")):
            page.get_by_role("slider").first.press(key)
            page.wait_for_function(
                "time => [...document.querySelectorAll('input')].some(one => one.value === time)",
                arg=time_s,
            )
            page.wait_for_timeout(2000)
            places.append(wait_for(lambda: center_of(page, 3, 0.6), page))
        assert np.linalg.norm(places[0] - places[1]) > 2
        for layer in ("cloud", "camera", "paths", "people"):
            page.get_by_label(layer, exact=True).uncheck()
        wait_for(lambda: True if center_of(page, 3, 0.6) is None else None, page)
        assert errors == []


def test_a_taken_port_is_named(make, body_file, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = str(make(6)[0])
        assert main(["view", run, "--port", str(port), "--body-model", str(body_file)]) == 1
    assert f"port {port} of 127.0.0.1 is taken; expected a free one" in capsys.readouterr().err


def test_an_address_of_another_machine_is_refused(make, body_file, capsys):
    run = str(make(6)[0])
    arguments = ["--host", "192.0.2.1", "--port", "0", "--body-model", str(body_file)]
    assert main(["view", run, *arguments]) == 1
    assert "nobody can listen at '192.0.2.1'" in capsys.readouterr().err


@pytest.mark.parametrize(("people", "frames"), [(0, 3), (1, 1), (0, 1)])
def test_nobody_and_a_single_frame_make_a_page_too(make, body_file, people, frames):
    run, out = make(4)
    with np.load(run / "people.npz") as file:
        arrays = dict(file)
    rows = (arrays["frame"] < frames) & (people > 0)
    per_row = len(rows)
    for name, values in arrays.items():
        if values.ndim and name.startswith("frame_"):
            arrays[name] = values[:frames]
        elif values.ndim and len(values) == per_row and name not in ("joint_names", "up_world"):
            arrays[name] = values[rows]
    np.savez(run / "people.npz", **arrays)
    path = export(run, "html", out / "b.html", body_model=body_file).path
    seconds, replayed = messages(path)
    assert seconds > 0
    bodies = {m["name"] for _, m in replayed if m["type"] == "SkinnedMeshMessage"}
    assert len(bodies) == (2 if people else 0)


def test_a_port_that_does_not_exist_is_refused(make, capsys):
    assert main(["view", str(make(6)[0]), "--port", "70000"]) == 1
    assert "expected 0 to 65535" in capsys.readouterr().err


def write_rig(run) -> None:
    """Make a result one of two cameras; the second looks on, one frame later and to the side."""
    with np.load(run / "people.npz") as file:
        arrays = dict(file)
    aside = np.eye(4)
    aside[:3, 3] = 2.0, 0.0, 0.0
    frames = {name: v for name, v in arrays.items() if name.startswith("frame_")}
    late = frames | {
        "frame_stamp_ns": frames["frame_stamp_ns"] + 10**8 - 5 * 10**8,
        "frame_world_from_camera": aside @ frames["frame_world_from_camera"],
    }
    for name, columns in (("left", frames), ("right", late)):
        (run / name).mkdir()
        np.savez(run / name / "people.npz", **columns)
    about = {
        "left": {"residual_px": 4.4, "trouble": "", "time_offset_s": 0.0},
        "right": {"residual_px": float("nan"), "trouble": "was moved", "time_offset_s": 0.5},
    }
    (run / "cameras.json").write_text(json.dumps(about))


def test_the_page_of_several_cameras_has_all_of_them(make):
    run, out = make(9)
    write_rig(run)
    _, replayed = messages(export(run, "html", out / "a.html").path)
    frusta = {m["name"] for _, m in replayed if m["type"] == "CameraFrustumMessage"}
    assert frusta == {"/camera/frustum of left", "/camera/frustum of right"}
    last = {m["name"]: m["position"] for _, m in replayed if m["type"] == "SetPositionMessage"}
    apart = np.subtract(last["/camera/frustum of right"], last["/camera/frustum of left"])
    # Along the camera's x, which is -y of level axes; a frame of the left one later.
    assert 1.5 < np.linalg.norm(apart) < 2.5


def test_the_panel_of_a_recording_says_what_was_wrong_with_a_camera(make, body_file):
    run, _ = make(9)
    write_rig(run)
    result = open_result(run)
    frames = ClipFrames(
        make_clip(result, choose_world(result, "level")), load_skin(result, body_file), {}
    )
    left, right = frames[0].cameras
    assert (left.name, left.facts) == ("left", ("0.00 s", "4 px", "fused"))
    assert (right.name, right.facts) == ("right", ("0.10 s", "?", "in doubt"))
    assert right.trouble == "was moved"


def test_a_camera_of_several_without_its_numbers_is_named(make):
    run, _ = make(9)
    write_rig(run)
    np.savez(run / "right" / "people.npz", frame_stamp_ns=np.arange(3))
    with pytest.raises(InputError, match=r"right/people\.npz: has no frame_world_from_camera"):
        open_result(run)
