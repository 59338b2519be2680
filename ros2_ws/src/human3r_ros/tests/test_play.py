"""Pace and stamps of ``human3r play``, and the messages it makes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from human3r_ros.commands import image_out, play, playback
from human3r_ros.commands.feeds import Moments, Shot, find_feeds
from human3r_ros.commands.pacing import MediaClock, Pacer
from human3r_ros.commands.private_domain import private_environment

from human3r.errors import InputError, OutputError
from human3r.multiview.rig_file import RigCamera, write_rig
from human3r.types import Frame, Intrinsics
from tests.drawn_clip import write_clip
from tests.io.media import image_message, picture, write_bag

MS = 1_000_000


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("play") / "clip.mp4"
    return write_clip(path, width_px=64, height_px=48, duration_s=1.0)


@pytest.fixture
def loopback():
    return {**os.environ, **private_environment()}


def frames_at(*stamps_ms):
    image = np.zeros((4, 6, 3), np.uint8)
    return [Frame(image, stamp * MS) for stamp in stamps_ms]


def test_frames_are_due_at_their_media_time():
    pacer = Pacer(start_ns=1_000 * MS)
    dues = [pacer.due_ns(media * MS, now_ns=0) for media in (50, 150, 350)]
    assert dues == [1_000 * MS, 1_100 * MS, 1_300 * MS]


def test_rate_shortens_every_wait():
    pacer = Pacer(start_ns=0, rate=4.0)
    assert [pacer.due_ns(media * MS, now_ns=0) for media in (0, 100, 200)] == [0, 25 * MS, 50 * MS]


def test_a_stalled_source_delays_the_rest_instead_of_bursting():
    pacer = Pacer(start_ns=0)
    now_ns, sent = 0, []
    for media, stall in ((0, 0), (100, 0), (200, 700), (300, 0), (400, 0)):
        now_ns += stall * MS
        due_ns = pacer.due_ns(media * MS, now_ns)
        now_ns = max(now_ns, due_ns)
        sent.append(now_ns // MS)
    assert sent == [0, 100, 800, 900, 1000]
    assert pacer.delayed_ns == 600 * MS


def test_small_delays_do_not_add_up():
    pacer = Pacer(start_ns=0)
    late_ns = [0, *(20 * MS for _ in range(9))]
    dues = [pacer.due_ns(100 * i * MS, now_ns=100 * i * MS + late_ns[i]) for i in range(10)]
    assert dues == [100 * i * MS for i in range(10)]
    assert pacer.delayed_ns == 0


def test_media_time_keeps_increasing_over_a_loop():
    clock = MediaClock()
    first = [media for _, media in clock.walk(frames_at(500, 540, 600))]
    second = [media for _, media in clock.walk(frames_at(500, 540, 600))]
    assert first == [0, 40 * MS, 100 * MS]
    assert second == [160 * MS, 200 * MS, 260 * MS]


def test_fps_overrules_the_stamps_of_the_source():
    clock = MediaClock()
    clock.fix_rate(20)
    clock.expect_rate(3)
    assert [media for _, media in clock.walk(frames_at(0, 7, 900))] == [0, 50 * MS, 100 * MS]


def test_image_message_holds_the_pixels():
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    message = image_out.image_message(image)
    assert (message.height, message.width, message.step) == (2, 3, 9)
    assert message.encoding == "rgb8"
    assert bytes(message.data) == image.tobytes()


def test_compressed_message_decodes_to_nearly_the_same_picture():
    import cv2

    image = np.zeros((32, 48, 3), np.uint8)
    image[:, :24] = (200, 40, 90)
    message = image_out.compressed_message(image)
    decoded = cv2.imdecode(np.frombuffer(bytes(message.data), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert "jpeg" in message.format
    assert np.abs(decoded.astype(int)[:, 4:20] - image[:, 4:20]).max() < 6


def test_assumed_field_of_view_gives_the_focal_length():
    camera = image_out.assumed_intrinsics(90.0, 640, 480)
    assert camera.fx == pytest.approx(320.0)
    assert (camera.cx, camera.cy) == (319.5, 239.5)
    assert image_out.assumed_intrinsics(0.0, 640, 480) is None


@pytest.mark.parametrize(
    "argument",
    [
        *("--rate=0", "--rate=-1", "--rate=nan", "--rate=1e-300", "--fps=1e-300"),
        *("--fov-deg=180", "--every=0", "--frame-id=/a b"),
    ],
)
def test_senseless_numbers_are_wrong_use(argument, capsys):
    with pytest.raises(SystemExit) as caught:
        play.main(["clip.mp4", "--topic", "/image", argument])
    assert caught.value.code == 2
    assert argument.split("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--also", "/tf"], "add --clock or --lockstep"),
        (["--also", "/tf", "--clock", "--loop"], "over --loop"),
    ],
)
def test_other_topics_need_the_bags_own_time(arguments, words, capsys):
    with pytest.raises(SystemExit) as caught:
        play.main(["bag", "--topic", "/image", *arguments])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


class Heard:
    """Stands in for a publisher of time and of other topics."""

    def __init__(self):
        self.said = []

    def advance(self, stamp_ns):
        self.said.append(("clock", stamp_ns))

    def send_until(self, recorded_ns):
        self.said.append(("others", recorded_ns))


def test_recorded_time_comes_before_what_was_recorded_by_then():
    heard = Heard()
    recorded = playback.RecordedTime(heard, heard)
    image = np.zeros((4, 6, 3), np.uint8)
    items = [playback.Item([Shot(0, Frame(image, 70 * MS + n))], n, 71 * MS + n) for n in (0, 5)]
    assert [recorded.enter(item) for item in items] == [70 * MS, 70 * MS + 5]
    assert heard.said == [
        *(("clock", 70 * MS), ("others", 71 * MS)),
        *(("clock", 70 * MS + 5), ("others", 71 * MS + 5)),
    ]


def test_a_video_begins_after_zero_which_would_mean_no_stamp():
    heard = Heard()
    item = playback.Item([Shot(0, Frame(np.zeros((4, 6, 3), np.uint8), 0))], 0, None)
    assert playback.RecordedTime(heard, None).enter(item) == 1_000_000_000


def test_an_absent_source_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        play.main([str(tmp_path / "absent.mp4"), "--topic", "/image"])


@pytest.mark.parametrize("name", ["kept.json", "nowhere/report.json", "."])
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_sent(clip, tmp_path, name):
    (tmp_path / "kept.json").write_text("kept")
    with pytest.raises(OutputError, match="expected a"):
        play.main([str(clip), "--topic", "/image", "--report", str(tmp_path / name)])
    assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]


def test_what_helps_against_zero_stamps_is_an_option_of_play(tmp_path):
    bag = write_bag(
        tmp_path / "b",
        [("/cam/image", n, image_message(0, picture(n), "rgb8")) for n in range(1, 4)],
    )
    with pytest.raises(InputError, match="`human3r play --stamp receive`"):
        play.main([str(bag), "--topic", "/image"])


def test_of_several_topics_one_is_chosen_by_an_option_that_there_is(tmp_path):
    image = image_message(1, picture(0), "rgb8")
    bag = write_bag(tmp_path / "b", [("/left/image", 1, image), ("/right/image", 1, image)])
    with pytest.raises(InputError, match="`human3r play` --source-topic"):
        play.main([str(bag), "--topic", "/image"])


def test_players_load_no_torch():
    code = (
        "import sys; import human3r_ros.commands.play, human3r_ros.commands.record;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_nobody_listening_is_an_input_error(clip, loopback):
    result = subprocess.run(
        [sys.executable, "-c",
         "import sys; from human3r_ros.commands.play import main; main(sys.argv[1:])",
         str(clip), "--topic", "/nobody", "--wait-for-subscriber", "--wait-timeout", "0.5"],
        env=loopback, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert "InputError: /nobody: no subscriber within 0.5 s" in result.stderr


def test_a_clip_is_sent_at_its_own_pace_with_calibration_and_report(clip, loopback, tmp_path):
    """Player and listener are processes of their own and speak DDS."""
    listener = subprocess.Popen(
        [sys.executable, "-c", LISTENER], env=loopback, stdout=subprocess.PIPE, text=True
    )
    try:
        report = tmp_path / "report.json"
        subprocess.run(
            [sys.executable, "-c",
             "import sys; from human3r_ros.commands.play import main; main(sys.argv[1:])",
             str(clip), "--topic", "/camera/image", "--frame-id", "eye", "--fov-deg", "60",
             "--rate", "2", "--wait-for-subscriber", "--report", str(report)],
            env=loopback, timeout=60, check=True,
        )  # fmt: skip
        heard = json.loads(listener.communicate(timeout=30)[0])
    finally:
        listener.kill()
    sent = json.loads(report.read_text())
    assert sent["sent"] == len(sent["stamps_ns"]) == 10
    assert heard["images"] == sent["stamps_ns"]
    assert heard["infos"] == sent["stamps_ns"]
    assert heard["frame_id"] == "eye"
    assert heard["focal"] == pytest.approx(64 / 2 / np.tan(np.radians(30)))
    steps_ms = np.diff(sent["stamps_ns"]) / MS
    # A busy machine may delay some frames; the plan goes on at the clip's pace behind each.
    assert np.median(steps_ms) == pytest.approx(50.0, abs=0.01)
    assert steps_ms.min() > 49.0


LISTENER = """
import json, time
import human3r_ros, rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
rclpy.init()
node = rclpy.create_node("listener")
images, infos, other = [], [], {}
ns = lambda m: m.header.stamp.sec * 10**9 + m.header.stamp.nanosec
def on_image(m):
    images.append(ns(m))
    other["frame_id"] = m.header.frame_id
def on_info(m):
    infos.append(ns(m)); other["focal"] = float(m.k[0])
node.create_subscription(Image, "/camera/image", on_image, QoSProfile(depth=10))
node.create_subscription(CameraInfo, "/camera/camera_info", on_info, QoSProfile(depth=10))
end = time.monotonic() + 30
while (len(images) < 10 or len(infos) < 10) and time.monotonic() < end:
    rclpy.spin_once(node, timeout_sec=0.1)
print(json.dumps(dict(images=images, infos=infos, **other)))
"""


# -- several cameras -------------------------------------------------------------------------------


def options_of(*words):
    return play._parse([str(word) for word in words])


def rig_of(folder, **sources):
    cameras = {
        name: RigCamera(name, np.eye(4), Intrinsics(50.0, 50.0, 31.5, 23.5, 64, 48), source=source)
        for name, source in sources.items()
    }
    write_rig(folder / "cameras.yaml", cameras)
    return folder / "cameras.yaml"


def test_each_of_several_videos_has_a_topic_and_a_frame_of_its_own():
    feeds = find_feeds(options_of("l.mp4", "r.mp4", "--topics", "/left/image_raw,/right/image_raw"))
    assert [(f.source, f.topic, f.frame_id) for f in feeds] == [
        ("l.mp4", "/left/image_raw", "left_optical"),
        ("r.mp4", "/right/image_raw", "right_optical"),
    ]


def test_a_calibration_file_names_sources_topics_and_lenses(tmp_path):
    path = rig_of(tmp_path, left="l.mp4", right="bag:/cam/image", spare="")
    left, right = find_feeds(options_of(path))
    assert (left.source, left.topic) == (str(tmp_path / "l.mp4"), "/left/image_raw")
    assert (right.source, right.source_topic) == (str(tmp_path / "bag"), "/cam/image")
    assert left.intrinsics.fx == 50.0
    given = find_feeds(options_of(path, "--topics", "/a/image,/b/image"))
    assert [feed.topic for feed in given] == ["/a/image", "/b/image"]


def test_topics_of_a_bag_keep_their_names_and_frames(tmp_path):
    image = image_message(1, picture(0), "rgb8")
    bag = write_bag(tmp_path / "b", [("/left/image", 1, image), ("/right/image", 1, image)])
    feeds = find_feeds(options_of(bag, "--topics", "/left/image,/right/image"))
    assert [(f.source_topic, f.topic, f.frame_id) for f in feeds] == [
        ("/left/image", "/left/image", ""),
        ("/right/image", "/right/image", ""),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.mp4"], "no topic is given"),
        (["a.mp4", "b.mp4", "--topic", "/a"], "2 sources, but one topic"),
        (["a.mp4", "b.mp4", "--topics", "/a"], "2 sources and 1 topics"),
        (["a.mp4", "b.mp4", "--topics", "/a,/a"], "different topics"),
        (["a.mp4", "b.mp4", "--topics", "/a,/2nd"], "no topic name"),
        (["a.mp4", "b.mp4", "--topics", "/a,/b", "--lockstep"], "are for one camera"),
        (["none.yaml"], "no such file"),
    ],
)
def test_sources_and_topics_that_do_not_match_are_told(words, said):
    with pytest.raises(InputError, match=said):
        play.main(words)


def test_images_of_one_moment_go_out_together_and_a_camera_that_began_later_joins(tmp_path):
    def at(stamp_ms, value):
        return image_message(stamp_ms * MS, picture(value), "rgb8")

    left = [("/left/image", t * MS, at(t, 0)) for t in (1000, 1100, 1200)]
    right = [("/right/image", t * MS, at(t, 1)) for t in (1103, 1203, 1303)]
    bag = write_bag(tmp_path / "b", sorted(left + right, key=lambda one: one[1]))
    options = options_of(bag, "--topics", "/left/image,/right/image")
    items = list(play._passes(find_feeds(options), options))
    seen = [[(shot.feed, shot.frame.stamp_ns // MS) for shot in item.shots] for item in items]
    assert seen == [[(0, 1000)], [(0, 1100), (1, 1103)], [(0, 1200), (1, 1203)], [(1, 1303)]]
    assert [item.media_ns // MS for item in items] == [0, 100, 200, 303]
    sent = [[], []]
    players = [Sender(one) for one in sent]
    playback.play_all(players, items, AtOnce(), in_order=False, stamps=None)
    assert sent == [[0, 100, 200], [103, 203, 303]]


class Sender:
    """Stands in for a publisher of images."""

    def __init__(self, stamps_ms):
        self._stamps_ms = stamps_ms

    def publish(self, frame, stamp_ns, *, in_order):
        self._stamps_ms.append(stamp_ns // MS)


class AtOnce:
    """Waits for nothing; stamps are media times."""

    delayed_ns = 0

    def before(self, item):
        return item.media_ns

    def after(self, stamp_ns):
        pass


def test_sources_are_closed_when_one_of_them_cannot_be_opened(clip, tmp_path):
    options = options_of(clip, tmp_path / "absent.mp4", "--topics", "/a/image,/b/image")
    with pytest.raises(InputError, match="no such file"):
        Moments(find_feeds(options), options)
