"""Message and service classes, CDR, type hashes, definitions from files."""

import array
import copy

import numpy as np
import pytest
from rclpy_lite import messages
from rclpy_lite.messages import InvalidFieldError, UnknownTypeError, get_message, get_service, store
from rclpy_lite.serialization import deserialize_message, serialize_message
from rosbags.serde import SerdeError

Image = get_message("sensor_msgs/msg/Image")
CameraInfo = get_message("sensor_msgs/msg/CameraInfo")
String = get_message("std_msgs/msg/String")


@pytest.mark.parametrize(
    ("typename", "digest"),
    [
        (
            "std_msgs/msg/String",
            "df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18",
        ),
        (
            "sensor_msgs/msg/Image",
            "d31d41a9a4c4bc8eae9be757b0beed306564f7526c88ea6a4588fb9582527d47",
        ),
        (
            "example_interfaces/srv/AddTwoInts",
            "e118de6bf5eeb66a2491b5bda11202e7b68f198d6f67922cf30364858239c81a",
        ),
    ],
)
def test_type_hashes_are_those_of_ros_2(typename, digest):
    assert messages.type_hash(typename) == f"RIHS01_{digest}"


def test_every_known_message_survives_a_round_trip():
    for typename in list(store.typestore.fielddefs):
        if "/msg/" in typename:
            message = get_message(typename)()
            assert deserialize_message(serialize_message(message), type(message)) == message


def test_values_survive_a_round_trip():
    message = CameraInfo(width=640, distortion_model="plumb_bob", d=[0.1, -0.2])
    message.k[0] = 500.0
    message.header.frame_id = "caméra"
    message.roi.do_rectify = True
    back = deserialize_message(serialize_message(message), CameraInfo)
    assert back == message
    assert back.header.frame_id == "caméra"
    assert back.k[0] == 500.0


def test_a_big_array_is_viewed_not_copied():
    message = Image(data=np.arange(256, dtype=np.uint8))
    cdr = serialize_message(message)
    back = deserialize_message(cdr, Image)
    assert np.shares_memory(back.data, np.frombuffer(cdr, np.uint8))
    data = np.zeros(10, np.uint8)
    message.data = data
    assert np.shares_memory(message.data, data)


@pytest.mark.parametrize(
    "value",
    [
        [1, 2, 3],
        (1, 2, 3),
        b"\1\2\3",
        bytearray(b"\1\2\3"),
        memoryview(b"\1\2\3"),
        array.array("B", [1, 2, 3]),
        np.array([1, 2, 3], np.uint8),
        np.array([1, 2, 3], np.int64),
    ],
)
def test_arrays_can_be_assigned_from_anything_array_like(value):
    message = Image(data=value)
    assert message.data.dtype == np.uint8
    assert message.data.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("height", -1, "expected an int in"),
        ("height", 2**32, "expected an int in"),
        ("height", 1.0, "expected an int in"),
        ("encoding", 3, "expected a str"),
        ("header", String(), "expected a std_msgs.msg.Header"),
        ("data", "text", "expected numbers"),
        ("data", [1, 300], "expected"),
        ("data", [[1, 2]], "expected one axis"),
        ("data", [0.5], "expected"),
        ("data", None, "expected"),
    ],
)
def test_a_field_refuses_what_it_cannot_hold(field, value, words):
    message = Image()
    with pytest.raises(InvalidFieldError, match=words):
        setattr(message, field, value)
    with pytest.raises(AssertionError):  # What rclpy raises.
        setattr(message, field, value)


def test_unknown_fields_are_errors():
    with pytest.raises(AttributeError):
        Image().hight = 3
    with pytest.raises(InvalidFieldError, match="unknown field 'hight'; expected one of header"):
        Image(hight=3)


def test_floats_must_be_floats_as_in_rclpy():
    point = get_message("geometry_msgs/msg/Point")()
    point.x = np.float64(1.5)
    for wrong in (1, np.float32(1), "1", None):
        with pytest.raises(InvalidFieldError, match="expected a float"):
            point.x = wrong


def test_fixed_arrays_keep_their_length():
    with pytest.raises(InvalidFieldError, match="got 8 items; expected exactly 9"):
        CameraInfo(k=[0.0] * 8)


def test_bytes_look_like_bytes():
    status = get_message("diagnostic_msgs/msg/DiagnosticStatus")
    made = status(level=status.ERROR)
    assert made.level == b"\x02"
    assert deserialize_message(serialize_message(made), status).level == status.ERROR
    with pytest.raises(InvalidFieldError, match="bytes of length 1"):
        made.level = 2


def test_defaults_constants_types_equality_and_copies():
    quaternion = get_message("geometry_msgs/msg/Quaternion")
    assert quaternion().w == 1.0
    assert get_message("sensor_msgs/msg/PointField").FLOAT32 == 7
    words = CameraInfo.get_fields_and_field_types()
    assert words["k"] == "double[9]"
    assert words["d"] == "sequence<double>"
    assert words["header"] == "std_msgs/Header"
    message = Image(data=[1])
    other = copy.deepcopy(message)
    assert other == message
    other.data[0] = 2
    assert other != message
    assert message != String()
    assert repr(String(data="x")) == "std_msgs.msg.String(data='x')"


def test_every_message_has_defaults_of_its_own():
    first, second = CameraInfo(), CameraInfo()
    first.k[0], first.header.frame_id, first.header.stamp.sec = 5.0, "camera", 7
    assert second == CameraInfo()
    assert (second.k[0], second.header.frame_id, second.header.stamp.sec) == (0.0, "", 0)


def test_services_have_request_response_and_event():
    service = get_service("std_srvs/srv/SetBool")
    assert service.Request(data=True).data
    assert service.Response().message == ""
    assert "info" in service.Event.get_fields_and_field_types()


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\0",
        b"\0\1\0\0",
        b"\0\7\0\0" + bytes(64),
        b"\0\1\0\0" + b"\xff" * 64,
        serialize_message(Image(data=[1, 2, 3]))[:-4],
        serialize_message(Image()) + bytes(64),
        serialize_message(Image(encoding="a")).replace(b"a\0", b"\xff\xfe"),
    ],
)
def test_malformed_cdr_is_one_kind_of_error(bad):
    with pytest.raises(SerdeError):
        deserialize_message(bad, Image)


def test_truncated_cdr_of_every_length_is_refused_or_read_without_harm():
    whole = serialize_message(CameraInfo(distortion_model="plumb_bob", d=[0.1] * 5))
    for length in range(len(whole) - 4):
        with pytest.raises(SerdeError):
            deserialize_message(whole[:length], CameraInfo)


def test_definitions_are_read_from_an_added_directory(tmp_path):
    (tmp_path / "msg").mkdir()
    (tmp_path / "srv").mkdir()
    (tmp_path / "msg" / "Part.msg").write_text("uint8 A=1\nstring<=5 name\nint32[<=3] few\n")
    (tmp_path / "msg" / "Whole.msg").write_text(
        "# comment\nstd_msgs/Header header\nPart[] parts\nfloat32 scale 2.5  # with a default\n"
    )
    (tmp_path / "srv" / "Ask.srv").write_text("Part part\n---\nWhole whole\nbool ok\n")
    messages.add_package("made_up_msgs", tmp_path)
    part, whole = (get_message(f"made_up_msgs/msg/{name}") for name in ("Part", "Whole"))
    message = whole(parts=[part(name="abc", few=[1, 2])])
    assert part.A == 1
    assert message.scale == 2.5
    assert deserialize_message(serialize_message(message), whole) == message
    with pytest.raises(InvalidFieldError, match="at most 5 bytes"):
        part(name="abcdef")
    with pytest.raises(InvalidFieldError, match="at most 3"):
        part(few=[1, 2, 3, 4])
    service = get_service("made_up_msgs/srv/Ask")
    assert service.Response().whole == whole()
    assert messages.type_hash("made_up_msgs/srv/Ask").startswith("RIHS01_")


def test_definitions_are_found_below_ament_prefixes(tmp_path, monkeypatch):
    share = tmp_path / "share" / "prefixed_msgs" / "msg"
    share.mkdir(parents=True)
    (share / "Thing.msg").write_text("int8 x\n")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path}")
    assert get_message("prefixed_msgs/msg/Thing")(x=-3).x == -3


def test_a_broken_definition_names_the_file(tmp_path):
    from rosbags.typesys.base import TypesysError

    (tmp_path / "msg").mkdir()
    (tmp_path / "msg" / "Bad.msg").write_text("!! no definition\n")
    messages.add_package("broken_msgs", tmp_path)
    with pytest.raises(TypesysError, match=r"Bad\.msg: not a usable definition"):
        get_message("broken_msgs/msg/Bad")


def test_an_unknown_type_says_where_it_was_looked_for():
    with pytest.raises(UnknownTypeError, match="add_package"):
        get_message("nothing_msgs/msg/Nothing")


def test_wide_strings_are_not_supported_by_name(tmp_path):
    (tmp_path / "msg").mkdir()
    (tmp_path / "msg" / "Wide.msg").write_text("wstring text\n")
    messages.add_package("wide_msgs", tmp_path)
    with pytest.raises(NotImplementedError, match="wstring"):
        get_message("wide_msgs/msg/Wide")
