import io
import logging

import numpy as np
import pytest
from PIL import Image
from rosbags.rosbag2 import StoragePlugin, Writer

from human3r.camera.calibration import is_rectified_topic
from human3r.config import Settings
from human3r.errors import InputError
from human3r.io import open_source
from tests.io import media
from tests.io.media import picture, write_bag

T0 = 1_700_000_000_123_456_789


def read(path, **options):
    with open_source(str(path), **{"max_pixels": 10**6, **options}) as source:
        return list(source)


def encoded(number: int, form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(number)).save(
        buffer, form, **({"quality": 98} if form == "JPEG" else {})
    )
    return buffer.getvalue()


def raw_messages(count=4, topic="/cam/image_raw"):
    return [
        (topic, T0 + n * 10**8 + 5, media.image_message(T0 + n * 10**8, picture(n), "rgb8"))
        for n in range(count)
    ]


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_images_of_a_bag_come_with_their_header_stamps(tmp_path, plugin):
    path = write_bag(tmp_path / "bag", raw_messages(), plugin)
    frames = read(path)
    assert [frame.stamp_ns for frame in frames] == [T0 + n * 10**8 for n in range(4)]
    assert {frame.frame_id for frame in frames} == {"cam_optical"}
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, picture(number))


def test_the_bare_file_of_a_bag_is_read_too(tmp_path):
    path = write_bag(tmp_path / "bag", raw_messages())
    assert len(read(next(path.glob("*.mcap")))) == 4


def test_rate_and_count_are_known(tmp_path):
    path = write_bag(tmp_path / "bag", raw_messages(5))
    with open_source(str(path), max_pixels=10**6, every=2) as source:
        assert source.num_frames == 3
        assert source.rate_hz == pytest.approx(5.0)
        assert "/cam/image_raw" in source.name


ORDER = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "8UC3": [2, 1, 0]}


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "8UC3"])
@pytest.mark.parametrize("padding", [0, 7])
def test_colour_encodings_and_padded_rows(tmp_path, encoding, padding):
    image = picture(2)
    pixels = image[..., ORDER.get(encoding.replace("a8", "8"), [0, 1, 2])]
    if "a8" in encoding:
        pixels = np.concatenate([pixels, np.full((48, 64, 1), 77, np.uint8)], -1)
    message = media.image_message(T0, pixels, encoding, padding)
    path = write_bag(tmp_path / "bag", [("/i", T0, message)])
    np.testing.assert_array_equal(read(path)[0].image, image)


def test_grey_images_become_rgb(tmp_path):
    grey = picture(1)[..., 0]
    path = write_bag(tmp_path / "b", [("/i", T0, media.image_message(T0, grey, "mono8"))])
    np.testing.assert_array_equal(read(path)[0].image, np.repeat(grey[..., None], 3, -1))


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_images_are_demosaiced_with_the_right_colours(tmp_path, pattern):
    mosaic = np.zeros((48, 64), np.uint8)
    for place, colour in enumerate(pattern):
        mosaic[place // 2 :: 2, place % 2 :: 2] = {"r": 200, "g": 100, "b": 30}[colour]
    message = media.image_message(T0, mosaic, f"bayer_{pattern}8")
    image = read(write_bag(tmp_path / "b", [("/i", T0, message)]))[0].image
    np.testing.assert_array_equal(image[24, 32], [200, 100, 30])


@pytest.mark.parametrize(
    ("form", "name", "error"), [("JPEG", "rgb8; jpeg compressed bgr8", 8), ("PNG", "png", 0)]
)
def test_compressed_images(tmp_path, form, name, error):
    messages = [
        ("/cam/image/compressed", T0 + n, media.compressed_message(T0 + n, encoded(n, form), name))
        for n in range(3)
    ]
    frames = read(write_bag(tmp_path / "b", messages), topic="/cam/image")
    assert len(frames) == 3
    for number, frame in enumerate(frames):
        assert np.abs(frame.image.astype(int) - picture(number)).mean() <= error


def test_the_calibration_beside_the_topic_is_used(tmp_path):
    messages = [*raw_messages(2), ("/cam/camera_info", T0 + 10**9, media.camera_info(T0))]
    first = read(write_bag(tmp_path / "b", messages))[0].intrinsics
    assert first is not None
    assert (first.fx, first.cx, first.width_px) == (50.0, 31.5, 64)


@pytest.mark.parametrize(
    ("options", "fx", "cx"),
    [
        ({"width": 128, "height": 96, "fx": 100.0}, 50.0, 31.5),
        ({"width": 128, "height": 96, "fx": 100.0, "binning": 2}, 50.0, 31.5),
        ({"width": 100, "height": 80, "fx": 60.0, "roi": (10, 12, 64, 48)}, 60.0, 39.5),
    ],
)
def test_calibration_follows_scale_binning_and_region(tmp_path, options, fx, cx):
    messages = [*raw_messages(1), ("/cam/camera_info", T0, media.camera_info(T0, **options))]
    intrinsics = read(write_bag(tmp_path / "b", messages))[0].intrinsics
    assert intrinsics is not None
    assert (intrinsics.fx, intrinsics.cx) == pytest.approx((fx, cx))


RECTIFIED = np.array([40.0, 0, 30.5, -4.8, 0, 40.0, 22.5, 0, 0, 0, 1, 0])


@pytest.mark.parametrize(
    ("topic", "fields", "fx"),
    [
        ("/cam/image_raw", {"p": RECTIFIED}, 50.0),
        ("/cam/image_rect", {"p": RECTIFIED}, 40.0),
        ("/cam/image_rect_color", {"p": RECTIFIED, "d": np.array([0.1, 0, 0, 0, 0])}, 40.0),
        ("/cam/image_rect", {}, 50.0),
        ("/cam/image_rect", {"r": np.zeros(9)}, 50.0),
        ("/cam/image_rect", {"d": np.array([0.1, 0, 0, 0, 0])}, None),
        ("/cam/image_rect", {"r": np.diag([1.0, -1.0, -1.0]).ravel()}, None),
        ("/cam/image_rect", {"p": np.full(12, np.nan)}, None),
    ],
)
def test_the_camera_of_a_rectified_image_is_p(tmp_path, topic, fields, fx):
    image = media.image_message(T0, picture(0), "rgb8")
    info = media.camera_info(T0, **fields)
    path = write_bag(tmp_path / "b", [(topic, T0, image), ("/cam/camera_info", T0, info)])
    found = read(path)[0].intrinsics
    assert (found and found.fx) == fx
    if fx == 40.0:
        assert (found.cx, found.cy) == (30.5, 22.5)


@pytest.mark.parametrize(
    ("topic", "is_rectified"),
    [
        ("/camera/image_rect", True),
        ("/left/image_rect_color", True),
        ("/camera/infra1/image_rect_raw", True),
        ("/camera/image_raw", False),
        ("/image_rect/image_raw", False),
        ("image_rect", True),
    ],
)
def test_names_of_rectified_images(topic, is_rectified):
    assert is_rectified_topic(topic) == is_rectified


@pytest.mark.parametrize("options", [{"fx": 0.0}, {"fx": float("nan")}, {"width": 640}])
def test_an_unusable_calibration_is_ignored_with_a_warning(tmp_path, caplog, options):
    messages = [*raw_messages(2), ("/cam/camera_info", T0, media.camera_info(T0, **options))]
    frames = read(write_bag(tmp_path / "b", messages))
    assert [frame.intrinsics for frame in frames] == [None, None]
    assert len(caplog.records) == 1
    assert "uncalibrated" in caplog.text or "is ignored" in caplog.text


def test_a_zero_stamp_is_refused_unless_the_time_of_recording_is_asked_for(tmp_path):
    stamps = [0, T0 + 2]
    messages = [
        ("/i", T0 + n, media.image_message(stamp, picture(n), "rgb8"))
        for n, stamp in enumerate(stamps)
    ]
    path = write_bag(tmp_path / "b", messages)
    assert [f.stamp_ns for f in read(path)] == [T0 + 2]
    settings = Settings().replace({"input.stamp": "receive"})
    assert [f.stamp_ns for f in read(path, settings=settings)] == [T0, T0 + 1]
    with pytest.raises(InputError, match=r"input\.stamp"):
        read(write_bag(tmp_path / "zero", messages[:1]))


@pytest.mark.parametrize("topic", ["cam/image_raw", "/cam/image_raw"])
def test_relative_topics_of_old_bags_are_found_in_both_spellings(tmp_path, topic):
    relative = [(name.strip("/"), at, message) for name, at, message in raw_messages(2)]
    relative.append(("cam/camera_info", T0, media.camera_info(T0)))
    frames = read(write_bag(tmp_path / "b", relative), topic=topic)
    assert [frame.intrinsics.fx for frame in frames] == [50.0, 50.0]


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_bag_folder_without_metadata_is_read_by_its_files(tmp_path, caplog, plugin):
    path = write_bag(tmp_path / "b", raw_messages(3), plugin)
    (path / "metadata.yaml").unlink()
    assert len(read(path)) == 3
    assert "no metadata.yaml" in caplog.text


def test_late_frames_are_left_out_with_a_warning(tmp_path, caplog):
    order = [0, 2, 1, 2, 3]
    messages = [
        ("/i", T0 + k, media.image_message(T0 + n, picture(n), "rgb8")) for k, n in enumerate(order)
    ]
    frames = read(write_bag(tmp_path / "b", messages))
    assert [frame.stamp_ns - T0 for frame in frames] == [0, 2, 3]
    assert "2 late" in caplog.text


def test_several_image_topics_must_be_chosen_from(tmp_path):
    path = write_bag(tmp_path / "b", [*raw_messages(1), *raw_messages(2, "/left/image")])
    with pytest.raises(InputError, match=r"/cam/image_raw .*1 messages.*/left/image"):
        read(path)
    assert len(read(path, topic="/left/image")) == 2
    assert len(read(path, topic="left/image")) == 2


def test_an_unknown_topic_lists_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"no image topic /x.*/cam/image_raw"):
        read(write_bag(tmp_path / "b", raw_messages(1)), topic="/x")


def test_a_bag_without_images_is_refused(tmp_path):
    path = write_bag(tmp_path / "b", [("/cam/camera_info", T0, media.camera_info(T0))])
    with pytest.raises(InputError, match="no image topic among 1 topics"):
        read(path)


def test_a_bag_without_messages_is_refused(tmp_path):
    path = write_bag(tmp_path / "b", [])
    with pytest.raises(InputError, match="b"):
        read(path)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (media.image_message(T0, np.zeros((48, 64), np.uint16), "16UC1"), "encoding '16UC1'"),
        (media.image_message(T0, np.zeros((48, 0, 3), np.uint8), "rgb8"), "at least one pixel"),
        (media.image_message(T0, np.zeros((48, 32, 3), np.uint8), "rgba8"), "step 96"),
        (media.compressed_message(T0, b"junk", "jpeg"), "cannot be read as an image"),
        (media.compressed_message(T0, b"", "16UC1; compressedDepth png"), "depth image"),
        (media.compressed_message(T0, encoded(0, "JPEG")[:400], "jpeg"), "cannot be read"),
    ],
)
def test_unusable_images_are_refused_with_the_reason(tmp_path, message, reason):
    with pytest.raises(InputError, match=f"none of 1 frames.*{reason}"):
        read(write_bag(tmp_path / "b", [("/i", T0, message)]))


def test_a_huge_image_is_refused_before_decoding(tmp_path):
    with pytest.raises(InputError, match=r"input\.max_pixels"):
        read(write_bag(tmp_path / "b", raw_messages(1)), max_pixels=100)


def test_one_damaged_image_does_not_end_the_stream(tmp_path, caplog):
    messages = [
        ("/i", T0 + n, media.compressed_message(T0 + n, encoded(n, "JPEG"), "jpeg"))
        for n in range(4)
    ]
    messages[2][2].data = messages[2][2].data[:300]
    with caplog.at_level(logging.WARNING):
        assert len(read(write_bag(tmp_path / "b", messages))) == 3
    assert "1 unreadable" in caplog.text


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_truncated_bag_is_refused(tmp_path, plugin):
    bag = write_bag(tmp_path / "b", raw_messages(20), plugin)
    file = next(path for path in bag.iterdir() if path.suffix != ".yaml")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InputError, match="cannot be opened as a bag"):
        read(bag)


def test_a_bag_damaged_in_the_middle_delivers_what_came_before_and_says_so(tmp_path, caplog):
    bag = write_bag(tmp_path / "b", raw_messages(20), StoragePlugin.SQLITE3)
    file = next(bag.glob("*.db3"))
    content = bytearray(file.read_bytes())
    half = len(content) // 2 // 4096 * 4096
    content[half : half + 3 * 4096] = bytes(3 * 4096)
    file.write_bytes(content)
    assert 0 < len(read(bag)) < 20
    assert "damaged or cut off" in caplog.text


def test_a_ros_1_bag_is_read_too(tmp_path):
    from rosbags.rosbag1 import Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC)
    types = store.types
    with Writer(tmp_path / "old.bag") as writer:
        image = writer.add_connection("/cam/image", "sensor_msgs/msg/Image", typestore=store)
        for number in range(3):
            new = media.image_message(T0 + number * 10**8, picture(number), "bgr8")
            head = types["std_msgs/msg/Header"](
                seq=number, stamp=new.header.stamp, frame_id=new.header.frame_id
            )
            old = types["sensor_msgs/msg/Image"](
                head, new.height, new.width, new.encoding, 0, new.step, new.data
            )
            data = store.serialize_ros1(old, "sensor_msgs/msg/Image")
            writer.write(image, T0 + number * 10**8, data)
    frames = read(tmp_path / "old.bag")
    assert [frame.stamp_ns for frame in frames] == [T0 + n * 10**8 for n in range(3)]
    np.testing.assert_array_equal(frames[1].image[..., ::-1], picture(1))


@pytest.mark.parametrize("name", ["x.mcap", "x.db3", "x.bag"])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"this is not a bag" * 50, "is a text file"),
        (b"", "is an empty file"),
        (b"\xff\xd8\xff\xe0" * 50, "is a picture"),
        (b"\x00\x01\x02" * 50, "cannot be opened as a bag"),
    ],
)
def test_a_file_that_is_no_bag_is_refused(tmp_path, name, content, what):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=what):
        read(path)


@pytest.mark.parametrize(
    ("name", "magic", "tool"),
    [
        ("x.bag", b"#ROSBAG V2.0\n", "rosbag reindex"),
        ("x.mcap", b"\x89MCAP0\r\n", "human3r bag repair"),
    ],
)
def test_the_tool_that_mends_a_bag_is_that_of_its_kind(tmp_path, name, magic, tool):
    path = tmp_path / name
    path.write_bytes(magic + bytes(40))
    with pytest.raises(InputError, match=tool):
        read(path)


def test_a_topic_without_messages_or_of_depth_leaves_no_choice(tmp_path):
    image = media.image_message(T0, picture(0), "rgb8")
    depth = media.compressed_message(T0, b"x", "16UC1; compressedDepth png")
    bag = write_bag(tmp_path / "b", [*raw_messages(), ("/cam/depth/compressedDepth", T0, depth)])
    with Writer(tmp_path / "c", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic in ("/empty/image", "/cam/image"):
            connection = writer.add_connection(topic, image.__msgtype__, typestore=media.STORE)
        writer.write(connection, T0, media.STORE.serialize_cdr(image, image.__msgtype__))
    assert len(read(bag)) == 4
    assert len(read(tmp_path / "c")) == 1


def test_the_calibration_of_a_relative_name_is_found(tmp_path):
    info = media.camera_info(T0)
    bag = write_bag(tmp_path / "b", [("cam/camera_info", T0, info), *raw_messages()])
    assert all(frame.intrinsics is not None for frame in read(bag))


def test_a_definition_that_cannot_be_parsed_spoils_only_its_own_topic(tmp_path, caplog):
    bag = tmp_path / "b"
    image = media.image_message(T0, picture(0), "rgb8")
    with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        other = writer.add_connection(
            "/other", "other_msgs/msg/Odd", msgdef="wstring<= what is this", rihs01="RIHS01_0"
        )
        connection = writer.add_connection("/cam/image", image.__msgtype__, typestore=media.STORE)
        writer.write(other, T0, b"\0\1\0\0")
        writer.write(connection, T0, media.STORE.serialize_cdr(image, image.__msgtype__))
    assert len(read(bag)) == 1
    assert "definition" in caplog.text


def test_a_driver_with_one_stamp_for_all_is_told_what_helps(tmp_path, caplog):
    messages = raw_messages()
    for _, _, message in messages:
        message.header = media.header(T0)
    assert len(read(write_bag(tmp_path / "b", messages))) == 1
    assert "set input.stamp to receive" in caplog.text


def test_a_folder_with_foreign_metadata_is_refused(tmp_path):
    (tmp_path / "metadata.yaml").write_text("a: 1\n")
    with pytest.raises(InputError, match=r"metadata.yaml is damaged.*no .mcap or .db3 file"):
        read(tmp_path)
