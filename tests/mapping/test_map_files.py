"""Maps as PCD and as map_server's pair of files."""

import numpy as np
import yaml
from PIL import Image

from human3r.mapping.map_files import write_occupancy, write_pcd
from human3r.mapping.occupancy import FREE, OCCUPIED, UNKNOWN, OccupancyGrid


def test_a_pcd_file_says_what_it_holds(tmp_path):
    points = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    colors = np.random.default_rng(1).integers(0, 256, (7, 3), np.uint8)
    path = tmp_path / "map.pcd"
    write_pcd(path, points, colors, "metres; z up")
    head, _, data = path.read_bytes().partition(b"DATA binary\n")
    fields = dict(line.split(" ", 1) for line in head.decode().splitlines() if line[0] != "#")
    assert fields["FIELDS"] == "x y z rgb"
    assert fields["POINTS"] == fields["WIDTH"] == "7"
    assert fields["HEIGHT"] == "1"
    rows = np.frombuffer(data, [("xyz", "<f4", 3), ("bgra", "u1", 4)])
    assert np.array_equal(rows["xyz"], points)
    assert np.array_equal(rows["bgra"][:, 2::-1], colors)


def test_map_server_reads_the_grid_back(tmp_path):
    """As nav2_map_server does in trinary mode: row 0 of the image is the largest y."""
    cells = np.array([[FREE, OCCUPIED, UNKNOWN], [UNKNOWN, FREE, FREE]], np.int8)
    path = tmp_path / "hall.yaml"
    write_occupancy(path, OccupancyGrid(cells, (-1.5, 2.0), 0.05, -1.2))
    said = yaml.safe_load(path.read_text())
    assert said["image"] == "hall.pgm"
    assert said["mode"] == "trinary"
    assert (said["resolution"], said["origin"]) == (0.05, [-1.5, 2.0, 0.0])
    shades = np.asarray(Image.open(tmp_path / said["image"]), np.float64)
    occupied = (255 - shades) / 255 if not said["negate"] else shades / 255
    read = np.full(shades.shape, UNKNOWN)
    read[occupied > said["occupied_thresh"]] = OCCUPIED
    read[occupied < said["free_thresh"]] = FREE
    assert np.array_equal(read[::-1], cells)
