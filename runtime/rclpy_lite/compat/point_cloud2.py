"""Point clouds to and from structured arrays, as sensor_msgs_py.point_cloud2 does it."""

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from rclpy_lite.messages import get_message

PointCloud2 = get_message("sensor_msgs/msg/PointCloud2")
PointField = get_message("sensor_msgs/msg/PointField")

_DTYPE_OF = {
    PointField.INT8: np.dtype(np.int8),
    PointField.UINT8: np.dtype(np.uint8),
    PointField.INT16: np.dtype(np.int16),
    PointField.UINT16: np.dtype(np.uint16),
    PointField.INT32: np.dtype(np.int32),
    PointField.UINT32: np.dtype(np.uint32),
    PointField.FLOAT32: np.dtype(np.float32),
    PointField.FLOAT64: np.dtype(np.float64),
}
MAX_POINTS = 2**27


def dtype_from_fields(fields: Iterable[Any], point_step: int | None = None) -> np.dtype:
    """The structured type of a cloud's points.

    Raises:
        ValueError: a field of unknown type, or fields beyond ``point_step``.
    """
    names, formats, offsets = [], [], []
    for index, field in enumerate(fields):
        if field.datatype not in _DTYPE_OF:
            raise ValueError(
                f"field {field.name!r}: got datatype {field.datatype}; expected 1 to 8."
            )
        base = _DTYPE_OF[field.datatype]
        for item in range(max(1, field.count)):
            name = field.name or f"unnamed_field_{index}"
            names.append(name if field.count <= 1 else f"{name}_{item}")
            formats.append(base)
            offsets.append(field.offset + item * base.itemsize)
    layout: dict[str, Any] = {"names": names, "formats": formats, "offsets": offsets}
    if point_step is not None:
        layout["itemsize"] = point_step
    return np.dtype(layout)  # pyright: ignore[reportArgumentType, reportCallIssue]


def read_points(
    cloud: Any,
    field_names: list[str] | None = None,
    skip_nans: bool = False,
    uvs: Any = None,
    reshape_organized_cloud: bool = False,
) -> np.ndarray:
    """The points as a structured array, without a copy where nothing is left out.

    Raises:
        ValueError: the cloud's numbers contradict each other.
    """
    count = cloud.width * cloud.height
    if count > MAX_POINTS or len(cloud.data) < count * cloud.point_step:
        raise ValueError(
            f"point cloud: got {len(cloud.data)} bytes for {cloud.width}x{cloud.height} points of "
            f"{cloud.point_step} bytes; expected at least {count * cloud.point_step}."
        )
    dtype = dtype_from_fields(cloud.fields, cloud.point_step)
    points = np.frombuffer(cloud.data, dtype, count)
    if bool(sys.byteorder != "little") != bool(cloud.is_bigendian):
        points = points.byteswap().view(points.dtype.newbyteorder())
    if field_names is not None:
        missing = set(field_names) - set(points.dtype.names or ())
        if missing:
            raise AssertionError(
                f"Requests field is not in the fields of the PointCloud: {missing}"
            )
        points = points[list(field_names)]
    if skip_nans and not cloud.is_dense:
        keep = np.ones(len(points), bool)
        for name in points.dtype.names or ():
            if points[name].dtype.kind == "f":
                keep &= ~np.isnan(points[name])
        points = points[keep]
    if uvs is not None:
        pixels = np.asarray(list(uvs), int).reshape(-1, 2)
        points = points[pixels[:, 1] * cloud.width + pixels[:, 0]]
    if reshape_organized_cloud and cloud.height > 1:
        points = points.reshape(cloud.width, cloud.height)
    return points


def read_points_numpy(
    cloud: Any,
    field_names: list[str] | None = None,
    skip_nans: bool = False,
    uvs: Any = None,
    reshape_organized_cloud: bool = False,
) -> np.ndarray:
    """The points as a plain array; all fields must have one type."""
    points = read_points(cloud, field_names, skip_nans, uvs, reshape_organized_cloud)
    names = points.dtype.names or ()
    kinds = {points.dtype[name] for name in names}
    if len(kinds) != 1:
        raise AssertionError("All fields need to have the same datatype. Use read_points().")
    return np.stack([points[name] for name in names], axis=-1)


def read_points_list(cloud: Any, field_names: list[str] | None = None, **options: Any) -> list[Any]:
    """The points as a list of tuples."""
    return [tuple(point) for point in read_points(cloud, field_names, **options)]


def create_cloud(
    header: Any,
    fields: list[Any],
    points: Any,
    step: int | None = None,
    point_step: int | None = None,
) -> Any:
    """A PointCloud2 of a structured array, or of one row per point.

    A structured array is sent as it lies in memory; a two-dimensional one is read as
    (width, height), as in sensor_msgs_py.
    """
    dtype = dtype_from_fields(fields, point_step or step)
    array = np.asarray(points) if isinstance(points, np.ndarray) else None
    if array is None or array.dtype.names is None:
        rows = np.asarray(points)
        count = len(dtype.names or ())
        if rows.size and rows.shape[-1] != count:
            raise AssertionError(f"got {rows.shape[-1]} values per point for {count} fields.")
        array = np.zeros(rows.shape[:-1] if rows.size else 0, dtype)
        for i, name in enumerate(dtype.names or ()):
            array[name] = rows[..., i] if rows.size else []
    elif array.dtype != dtype:
        raise AssertionError(
            f"PointFields and structured NumPy array dtype do not match: {dtype} and {array.dtype}."
        )
    if array.ndim > 2:
        raise AssertionError("Too many dimensions for organized cloud: at most two.")
    height, width = (1, len(array)) if array.ndim < 2 else (array.shape[1], array.shape[0])
    contiguous = np.ascontiguousarray(array)
    return PointCloud2(
        header=header,
        height=height,
        width=width,
        is_dense=False,
        is_bigendian=sys.byteorder != "little",
        fields=fields,
        point_step=array.dtype.itemsize,
        row_step=array.dtype.itemsize * width,
        data=contiguous.reshape(-1).view(np.uint8),
    )


def create_cloud_xyz32(header: Any, points: Any) -> Any:
    """A PointCloud2 with x, y, z as float32."""
    fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, name in enumerate("xyz")
    ]
    return create_cloud(header, fields, points)
