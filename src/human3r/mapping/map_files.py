"""Maps as files other programs read: PCD, and an occupancy grid as ROS 2's map_server has it."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from human3r.atomic import whole_file
from human3r.mapping.occupancy import FREE, OCCUPIED, OccupancyGrid

_GREY_FREE, _GREY_OCCUPIED, _GREY_UNKNOWN = 254, 0, 205
"""As map_server's own map_saver writes them."""


def write_pcd(
    path: Path,
    points: Float[np.ndarray, "points 3"],
    colors: UInt8[np.ndarray, "points 3"],
    axes: str,
) -> None:
    """Coloured points as a binary PCD file, version 0.7 of the Point Cloud Library.

    Args:
        path: the file to be.
        points: in the frame that ``axes`` names.
        colors: RGB.
        axes: one line that goes into the file as a comment.

    Raises:
        OutputError: it cannot be written.
    """
    header = (
        f"# {axes}\nVERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F U\nCOUNT 1 1 1 1\n"
        f"WIDTH {len(points)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(points)}\n"
        "DATA binary\n"
    )
    rows = np.empty(len(points), [("xyz", "<f4", 3), ("rgb", "<u4")])
    rows["xyz"] = points
    rows["rgb"] = colors.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    with whole_file(path) as file:
        file.write(header.encode("ascii"))
        file.write(rows.tobytes())


def write_occupancy(path: Path, grid: OccupancyGrid) -> None:
    """An occupancy grid as a YAML file and, beside it, the PGM image that it names.

    Args:
        path: the YAML file to be; the image has its name and ends with .pgm.
        grid: of the level frame.

    Raises:
        OutputError: one of them cannot be written.
    """
    shades = np.full(grid.cells.shape, _GREY_UNKNOWN, np.uint8)
    shades[grid.cells == FREE] = _GREY_FREE
    shades[grid.cells == OCCUPIED] = _GREY_OCCUPIED
    data = io.BytesIO()
    # The first row of an image is its top, which is the grid's last.
    Image.fromarray(shades[::-1]).save(data, format="PPM")
    image = path.with_suffix(".pgm")
    with whole_file(image) as file:
        file.write(data.getvalue())
    x, y = grid.origin
    with whole_file(path) as file:
        file.write(
            f"# The floor is {grid.floor_m:.3f} m high in the level frame.\n"
            f"image: {image.name}\nmode: trinary\nresolution: {grid.cell_m:g}\n"
            f"origin: [{x:.4f}, {y:.4f}, 0.0]\n"
            # Free ends below the grey of unknown, which is 0.1961.
            "negate: 0\noccupied_thresh: 0.65\nfree_thresh: 0.196\n".encode("ascii")
        )
