"""Images to and from arrays, as cv_bridge does it, with a table of encodings of our own."""

from typing import Any

import numpy as np

from rclpy_lite.messages import get_message

Image = get_message("sensor_msgs/msg/Image")
CompressedImage = get_message("sensor_msgs/msg/CompressedImage")


class CvBridgeError(TypeError):
    """An image cannot be converted as asked."""


_LAYOUT: dict[str, tuple[str, int]] = {
    "rgb8": ("uint8", 3),
    "bgr8": ("uint8", 3),
    "rgba8": ("uint8", 4),
    "bgra8": ("uint8", 4),
    "mono8": ("uint8", 1),
    "rgb16": ("uint16", 3),
    "bgr16": ("uint16", 3),
    "mono16": ("uint16", 1),
    **{f"bayer_{order}8": ("uint8", 1) for order in ("rggb", "bggr", "gbrg", "grbg")},
}
_TYPES = {
    "8U": "uint8",
    "8S": "int8",
    "16U": "uint16",
    "16S": "int16",
    "32S": "int32",
    "32F": "float32",
    "64F": "float64",
}
# The name of a Bayer pattern in OpenCV is that of its second row and column.
_BAYER = {
    "bayer_rggb8": "BayerBG",
    "bayer_bggr8": "BayerRG",
    "bayer_gbrg8": "BayerGR",
    "bayer_grbg8": "BayerGB",
}
_COLOURS = {"rgb8": "RGB", "bgr8": "BGR", "rgba8": "RGBA", "bgra8": "BGRA", "mono8": "GRAY"}


def _layout(encoding: str) -> tuple[np.dtype, int]:
    if encoding in _LAYOUT:
        name, channels = _LAYOUT[encoding]
        return np.dtype(name), channels
    depth, separator, channels_text = encoding.partition("C")
    if separator and depth in _TYPES and channels_text in ("1", "2", "3", "4", ""):
        return np.dtype(_TYPES[depth]), int(channels_text or 1)
    raise CvBridgeError(
        f"encoding: got {encoding!r}; expected one of {', '.join(_LAYOUT)} or a type such as 32FC1."
    )


def _view(message: Any) -> np.ndarray:
    dtype, channels = _layout(message.encoding)
    row_bytes = message.width * channels * dtype.itemsize
    if message.step < row_bytes or len(message.data) < message.step * message.height:
        raise CvBridgeError(
            f"image: got step {message.step} and {len(message.data)} bytes for "
            f"{message.width}x{message.height} {message.encoding}; expected step of at least "
            f"{row_bytes} and {message.step * message.height} bytes."
        )
    dtype = dtype.newbyteorder(">" if message.is_bigendian else "<")
    shape = (
        (message.height, message.width)
        if channels == 1
        else (message.height, message.width, channels)
    )
    strides = (message.step, channels * dtype.itemsize, dtype.itemsize)[: len(shape)]
    array = np.ndarray(shape, dtype, np.asarray(message.data).data, strides=strides)
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def _convert(array: np.ndarray, source: str, target: str) -> np.ndarray:
    if source == target or target == "passthrough":
        return array
    if _layout(source) == _layout(target) and (source[0].isdigit() or target[0].isdigit()):
        return array
    import cv2

    array = np.ascontiguousarray(array)
    if source in _BAYER and target in ("rgb8", "bgr8", "mono8"):
        word = {"rgb8": "RGB", "bgr8": "BGR", "mono8": "GRAY"}[target]
        return cv2.cvtColor(array, getattr(cv2, f"COLOR_{_BAYER[source]}2{word}"))
    if source in _COLOURS and target in _COLOURS:
        return cv2.cvtColor(array, getattr(cv2, f"COLOR_{_COLOURS[source]}2{_COLOURS[target]}"))
    raise CvBridgeError(
        f"encoding: cannot convert {source!r} to {target!r}; ask for 'passthrough'."
    )


class CvBridge:
    """Converts between messages and OpenCV's arrays."""

    def imgmsg_to_cv2(self, img_msg: Any, desired_encoding: str = "passthrough") -> np.ndarray:
        """The image as an array, in another encoding if asked for.

        Raises:
            CvBridgeError: sizes that contradict each other, or an impossible conversion.
        """
        array = _convert(_view(img_msg), img_msg.encoding, desired_encoding)
        # Like cv_bridge's result it can be changed, and does not change the message.
        return array if array.flags.owndata and array.flags.writeable else array.copy()

    def cv2_to_imgmsg(
        self, cvim: np.ndarray, encoding: str = "passthrough", header: Any = None
    ) -> Any:
        """An Image of an array.

        Raises:
            CvBridgeError: the array does not fit the encoding.
        """
        if not isinstance(cvim, np.ndarray):
            raise TypeError("Your input type is not a numpy array")
        channels = 1 if cvim.ndim == 2 else cvim.shape[2]
        if encoding == "passthrough":
            depth = {v: k for k, v in _TYPES.items()}.get(cvim.dtype.name)
            if depth is None:
                raise CvBridgeError(
                    f"array: got {cvim.dtype}; expected one of {list(_TYPES.values())}."
                )
            encoding = f"{depth}C{channels}"
        elif _layout(encoding) != (cvim.dtype, channels):
            dtype, wanted = _layout(encoding)
            raise CvBridgeError(
                f"array: got {cvim.dtype} with {channels} channels; expected {dtype} with {wanted} "
                f"for {encoding}."
            )
        array = np.ascontiguousarray(cvim)
        message = Image(
            height=array.shape[0],
            width=array.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=array.strides[0] if array.size else 0,
            data=array.reshape(-1).view(np.uint8),
        )
        if header is not None:
            message.header = header
        return message

    def compressed_imgmsg_to_cv2(
        self, cmprs_img_msg: Any, desired_encoding: str = "passthrough"
    ) -> np.ndarray:
        """A decoded JPEG or PNG; colour comes as bgr8.

        Raises:
            CvBridgeError: the data is not an image.
        """
        import cv2

        array = cv2.imdecode(np.asarray(cmprs_img_msg.data, np.uint8), cv2.IMREAD_UNCHANGED)
        if array is None:
            raise CvBridgeError(
                f"compressed image: {len(cmprs_img_msg.data)} bytes are not a readable "
                f"{cmprs_img_msg.format or 'image'}; expected JPEG or PNG."
            )
        if desired_encoding == "passthrough":
            return array
        source = {1: "mono8", 3: "bgr8", 4: "bgra8"}[1 if array.ndim == 2 else array.shape[2]]
        return _convert(array, source, desired_encoding)

    def cv2_to_compressed_imgmsg(self, cvim: np.ndarray, dst_format: str = "jpg") -> Any:
        """A CompressedImage of a bgr8 or mono8 array."""
        import cv2

        done, data = cv2.imencode(f".{dst_format}", cvim)
        if not done:
            raise CvBridgeError(f"array: cannot be written as {dst_format}.")
        return CompressedImage(format=dst_format, data=data.reshape(-1))
