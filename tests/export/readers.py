"""Readers of exported files that share nothing with the writers; each gives joints."""

import csv
from pathlib import Path

import numpy as np
import pygltflib
from scipy.spatial.transform import Rotation, Slerp

_TYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Glb:
    """A glTF file as numbers."""

    def __init__(self, path: Path) -> None:
        self.gltf = pygltflib.GLTF2().load(str(path))
        self._blob = self.gltf.binary_blob()
        self.parents = {c: n for n, node in enumerate(self.gltf.nodes) for c in node.children}
        self._channels = {}
        self._worlds: dict[tuple[int, float], np.ndarray] = {}
        for animation in self.gltf.animations:
            for channel in animation.channels:
                sampler = animation.samplers[channel.sampler]
                key = (channel.target.node, channel.target.path)
                self._channels[key] = self.array(sampler.input)[:, 0], self.array(sampler.output)

    def array(self, number: int) -> np.ndarray:
        accessor = self.gltf.accessors[number]
        view = self.gltf.bufferViews[accessor.bufferView]
        dtype, width = _TYPES[accessor.componentType], _WIDTHS[accessor.type]
        start = view.byteOffset + (accessor.byteOffset or 0)
        flat = np.frombuffer(self._blob, dtype, accessor.count * width, start)
        return flat.reshape(accessor.count, width)

    def node(self, name: str) -> int:
        (number,) = [n for n, node in enumerate(self.gltf.nodes) if node.name == name]
        return number

    def world(self, node: int, time_s: float) -> np.ndarray:
        """The node's 4x4 transform at a time."""
        if (node, time_s) not in self._worlds:
            parent = self.parents.get(node)
            above = np.eye(4) if parent is None else self.world(parent, time_s)
            self._worlds[node, time_s] = above @ self._local(node, time_s)
        return self._worlds[node, time_s]

    def _local(self, node: int, time_s: float) -> np.ndarray:
        values = self.gltf.nodes[node]
        matrix = np.eye(4)
        places = self._channels.get((node, "translation"))
        turns = self._channels.get((node, "rotation"))
        matrix[:3, 3] = values.translation or [0, 0, 0]
        if places is not None:
            matrix[:3, 3] = [np.interp(time_s, places[0], column) for column in places[1].T]
        if turns is not None:
            inside = np.clip(time_s, turns[0][0], turns[0][-1])
            turn = Slerp(turns[0], Rotation.from_quat(turns[1]))(inside)
            matrix[:3, :3] = turn.as_matrix()
        matrix[:3, :3] *= self.scale(node, time_s)
        return matrix

    def scale(self, node: int, time_s: float) -> float:
        if (node, "scale") not in self._channels:
            return 1.0
        times, sizes = self._channels[node, "scale"]
        return float(sizes[max(0, np.searchsorted(times, time_s + 1e-4) - 1), 0])

    def skinned(self, skin_node: int, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Joints (55, 3) and vertices of a skinned mesh at a time, as glTF 3.7.3.3 has it."""
        node = self.gltf.nodes[skin_node]
        skin, primitive = self.gltf.skins[node.skin], self.gltf.meshes[node.mesh].primitives[0]
        joints = np.stack([self.world(joint, time_s) for joint in skin.joints])
        binds = self.array(skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
        vertices = self.array(primitive.attributes.POSITION)
        homogeneous = np.concatenate([vertices, np.ones((len(vertices), 1))], axis=1)
        weights = self.array(primitive.attributes.WEIGHTS_0)
        matrices = (joints @ binds)[self.array(primitive.attributes.JOINTS_0)]
        blended = (matrices * weights[..., None, None]).sum(axis=1)
        return joints[:, :3, 3], (blended @ homogeneous[..., None])[:, :3, 0]


def bvh_joints(path: Path) -> tuple[dict[str, np.ndarray], float]:
    """Places (frames, 3) of every named joint, and the seconds between frames."""
    lines = path.read_text().splitlines()
    split = lines.index("MOTION")
    count, step_s = int(lines[split + 1].split()[1]), float(lines[split + 2].split()[2])
    data = np.array([[float(word) for word in line.split()] for line in lines[split + 3 :]])
    assert len(data) == count
    stack: list[tuple[np.ndarray, np.ndarray]] = []
    places, column, name, offset = {}, 0, "", np.zeros(3)
    for line in lines[1:split]:
        words = line.split()
        if words[0] in ("ROOT", "JOINT", "End"):
            name = words[1]
        elif words[0] == "OFFSET":
            offset = np.array([float(word) for word in words[1:]])
            if name == "Site":
                stack.append((np.zeros(0), np.zeros(0)))
        elif words[0] == "CHANNELS":
            values = data[:, column : column + int(words[1])]
            column += int(words[1])
            shift, turn = np.zeros((count, 3)), Rotation.identity(count)
            for value, channel in zip(values.T, words[2:], strict=True):
                axis = "XYZ".index(channel[0])
                if channel.endswith("position"):
                    shift[:, axis] = value
                else:
                    turn = turn * Rotation.from_euler("xyz"[axis], value[:, None], degrees=True)
            above_place, above_turn = (
                stack[-1] if stack else (np.zeros((count, 3)), np.eye(3)[None])
            )
            place = above_place + (above_turn @ (offset + shift)[..., None])[..., 0]
            stack.append((place, above_turn @ turn.as_matrix()))
            places[name] = place
        elif words[0] == "}":
            stack.pop()
    assert column == data.shape[1]
    return places, step_s


def csv_joints(path: Path) -> tuple[str, dict[tuple[int, int], np.ndarray], list[str]]:
    """The comment, joints by track id and frame, and the joints' names."""
    with path.open(newline="") as file:
        comment = file.readline()
        rows = list(csv.DictReader(file))
    names = [name.removesuffix("_x_m") for name in rows[0] if name.endswith("_x_m")]
    found = {}
    for row in rows:
        joints = [[float(row[f"{name}_{axis}_m"]) for axis in "xyz"] for name in names]
        found[int(row["track_id"]), int(row["frame"])] = np.array(joints)
    return comment, found, names


def trc_joints(path: Path) -> tuple[list[str], np.ndarray, np.ndarray, str]:
    """Names, times (frames,), places (frames, markers, 3) and the unit."""
    lines = path.read_text().split("\n")
    header = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    names = [word for word in lines[3].split("\t")[2:] if word]
    assert len(names) == int(header["NumMarkers"])
    rows = np.array([[float(word) for word in line.split("\t")] for line in lines[6:] if line])
    assert len(rows) == int(header["NumFrames"])
    return names, rows[:, 1], rows[:, 2:].reshape(len(rows), -1, 3), header["Units"]


def mot_table(path: Path) -> tuple[str, dict[str, np.ndarray]]:
    """The header's text, and the columns by name."""
    head, _, body = path.read_text().partition("endheader\n")
    lines = body.splitlines()
    rows = np.array([[float(word) for word in line.split("\t")] for line in lines[1:]])
    columns = dict(zip(lines[0].split("\t"), rows.T, strict=True))
    assert f"nRows={len(rows)}\n" in head
    assert f"nColumns={len(columns)}\n" in head
    return head, columns
