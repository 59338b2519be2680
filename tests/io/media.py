"""Small real videos, images and bags for the tests, written by the libraries users have."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_HUMBLE)


def picture(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """RGB gradient whose mean grows with ``number``; left half red, right half blue."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2, 0] = 200
    image[:, width // 2 :, 2] = 200
    image[..., 1] = 20 * number % 200
    return image


def write_video(
    path: Path,
    count: int = 6,
    *,
    stamps_ms: list[int] | None = None,
    rotation: int = 0,
    container: str | None = None,
    size: tuple[int, int] = (64, 48),
) -> Path:
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream("libx264", rate=10, options={"crf": "10", "g": "2", "bf": "0"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv444p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            frame.pts = stamps_ms[number] if stamps_ms else number * 100
            frame.time_base = Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def write_images(folder: Path, count: int = 3, *, suffix: str = ".png", size=(64, 48)) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        Image.fromarray(picture(number, *size)).save(folder / f"frame{number}{suffix}")
    return folder


def header(stamp_ns: int, frame_id: str = "cam_optical"):
    types = STORE.types
    stamp = types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)


def image_message(stamp_ns: int, pixels: np.ndarray, encoding: str, padding: int = 0):
    height, width = pixels.shape[:2]
    rows = np.pad(pixels.reshape(height, -1), ((0, 0), (0, padding)))
    return STORE.types["sensor_msgs/msg/Image"](
        header=header(stamp_ns),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=rows.shape[1],
        data=rows.reshape(-1).view(np.uint8),
    )


def compressed_message(stamp_ns: int, data: bytes, form: str):
    return STORE.types["sensor_msgs/msg/CompressedImage"](
        header=header(stamp_ns), format=form, data=np.frombuffer(data, np.uint8)
    )


def camera_info(
    stamp_ns: int, *, width=64, height=48, fx=50.0, roi=(0, 0, 0, 0), binning=0, **fields
):
    types = STORE.types
    region = types["sensor_msgs/msg/RegionOfInterest"](
        x_offset=roi[0], y_offset=roi[1], width=roi[2], height=roi[3], do_rectify=False
    )
    k = np.array([fx, 0, width / 2 - 0.5, 0, fx, height / 2 - 0.5, 0, 0, 1], np.float64)
    values = {"d": np.zeros(5), "k": k, "r": np.eye(3).reshape(-1), "p": np.zeros(12), **fields}
    return types["sensor_msgs/msg/CameraInfo"](
        header=header(stamp_ns),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        binning_x=binning,
        binning_y=binning,
        roi=region,
        **values,
    )


def write_bag(
    path: Path, messages: list[tuple[str, int, object]], plugin: StoragePlugin = StoragePlugin.MCAP
) -> Path:
    """``messages``: topic, time of recording in ns, message."""
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        connections = {}
        for topic, stamp_ns, message in messages:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], stamp_ns, STORE.serialize_cdr(message, kind))
    return path
