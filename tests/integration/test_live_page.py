"""The live page as people open it: a node or a run in its own process, and browsers that look."""

import os
import re
import sys

import av
import pytest

pytest.importorskip("viser", reason="viser is not installed: pip install 'human3r[web]'")
pytest.importorskip("human3r_ros", reason="the ROS part is not installed")
pytest.importorskip("rclpy", reason="neither ROS 2 nor the runtime is installed")

from human3r_ros.commands.private_domain import private_environment

from human3r.demo_clip import demo_clip_path
from human3r.multiview.rig_file import RigCamera, write_rig
from ros2_ws.src.human3r_ros.tests.running_process import RunningProcess, wait_until
from tests.browser import browser, center_of, needs_chromium, opened, wait_for
from tests.multiview.rooms import camera_at

PATIENCE_S = 240.0
HUMAN3R = [sys.executable, "-c", "import sys; from human3r.cli.main import main; sys.exit(main())"]


@pytest.fixture
def started(tmp_path):
    """Starts a command of human3r; all of them end with the test."""
    own = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    environment = {**os.environ, **private_environment(), **own}
    running = []

    def start(*arguments) -> RunningProcess:
        log_file = tmp_path / f"{arguments[0]}.log"
        command = [*HUMAN3R, *arguments]
        if arguments[0] == "multi-node":
            command = [sys.executable, "-m", "human3r_ros.multi.process", *arguments[1:]]
        running.append(RunningProcess(command, log_file, environment))
        return running[-1]

    yield start
    for process in running:
        process.close()


def address_of(process: RunningProcess) -> str:
    def said() -> bool:
        assert process.process.poll() is None, process.log()
        return "live page: http" in process.log()

    wait_until(said, PATIENCE_S, "the page's address in the log")
    return re.search(r"live page: (http://127\.0\.0\.1:\d+)", process.log())[1]


def ids_in_the_table(page) -> list[int]:
    cells = page.locator(".h3r tr td:first-child").all_inner_texts()
    return [int(cell) for cell in cells]


def frame_of(page) -> int:
    return int(re.search(r"frame (\d+)", page.get_by_text("people, frame").inner_text())[1])


def sees_people_move_on(page) -> None:
    """Somebody is in the table and in the picture, and the frames go on."""
    page.get_by_text("stature").wait_for()
    first = frame_of(page)

    def is_drawn():
        there = ids_in_the_table(page)
        return True if any(center_of(page, one, 0.6) is not None for one in there) else None

    wait_for(is_drawn, page)
    wait_for(lambda: True if frame_of(page) > first else None, page)


def watch(address: str) -> None:
    """Two browsers see the same people; one that goes is not missed; nothing is complained of."""
    with browser() as chromium:
        pages = [opened(chromium, address) for _ in range(2)]
        for page, _ in pages:
            page.set_viewport_size({"width": 900, "height": 420})
            sees_people_move_on(page)
        (gone, errors), (stays, more_errors) = pages
        gone.close()
        sees_people_move_on(stays)
        assert errors == more_errors == []


@needs_chromium
@pytest.mark.slow
def test_browsers_watch_what_a_node_makes_of_a_played_clip(started):
    node = started("live", "--image", "/cam/image", "--web", "0")
    clip = str(demo_clip_path())
    played = started("play", clip, "--topic", "/cam/image", "--loop", "--wait-for-subscriber")
    watch(address_of(node))
    assert node.process.poll() is None, node.log()
    assert played.process.poll() is None, played.log()
    assert node.stop() == 0
    assert "Traceback" not in node.log()


@needs_chromium
@pytest.mark.slow
def test_browsers_watch_a_run_and_it_keeps_its_results(started, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    with av.open(str(demo_clip_path())) as video:
        for number, frame in zip(range(60), video.decode(video=0), strict=False):
            frame.to_image().save(tmp_path / f"{number}.jpg")
    for number in range(2000):
        (frames / f"{number:05d}.jpg").symlink_to(tmp_path / f"{number % 60}.jpg")
    out = tmp_path / "out"
    run = started("run", str(frames), "--web", "0", "--out", str(out), "--save", "people")
    watch(address_of(run))
    assert run.stop() == 130
    assert (out / "people.npz").is_file()
    assert "Traceback" not in run.log()


@needs_chromium
@pytest.mark.slow
def test_a_browser_watches_two_cameras_of_one_node(started, tmp_path):
    cameras = {name: RigCamera(name, camera_at(0.1 * i)) for i, name in enumerate(("east", "west"))}
    write_rig(tmp_path / "cameras.yaml", cameras)
    words = [f"--set=calibration={tmp_path / 'cameras.yaml'}", "--set=input.max_age_s=0"]
    node = started("multi-node", "--set=cameras=east,west", *words, "--web", "0")
    clip = str(demo_clip_path())
    played = started(
        *("play", clip, clip, "--topics", "/east/image_raw,/west/image_raw"), "--loop", "--fps", "4"
    )
    address = address_of(node)
    with browser() as chromium:
        page, errors = opened(chromium, address)
        page.set_viewport_size({"width": 900, "height": 600})
        page.get_by_text("residual").wait_for()
        for name in cameras:
            page.get_by_text(name, exact=True).wait_for()
        first = frame_of(page)
        wait_for(lambda: True if frame_of(page) > first else None, page)
        assert errors == []
    assert played.process.poll() is None, played.log()
    assert node.stop() == 0
    assert "Traceback" not in node.log()
