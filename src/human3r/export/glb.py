"""glTF 2.0 binary: skinned people with their bones, the cloud, the camera and its path.

Source of the layout: Khronos, glTF 2.0 specification, chapters 3.7 (meshes and skins), 3.10
(cameras) and 3.11 (animations). Metres, y up, a camera looks along its -z.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pygltflib as gltf
from scipy.spatial.transform import Rotation

from human3r.atomic import whole_file
from human3r.export.clip import Clip, Person
from human3r.export.formats import manifest
from human3r.export.skin import Skin, vertex_normals
from human3r.viewer.colors import person_color

GL_FROM_CV = np.diag([1.0, -1.0, -1.0])
"""A camera with y up that looks along -z, from one with y down that looks along z; its own
inverse."""
_FAR_M = 1000.0


def write(clip: Clip, skin: Skin, path: Path) -> None:
    """Write a clip whose axes are y up.

    Raises:
        OutputError: not writable.
    """
    scene = _Scene(clip)
    if clip.people:
        shared = _shared_skin(scene, skin)
        for person in clip.people:
            _add_person(scene, skin, person, shared)
    _add_cloud(scene)
    _add_camera(scene)
    with whole_file(path) as file:
        file.write(scene.finish())


class _Scene:
    """A glTF document that grows: nodes, binary data, one animation."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        about = manifest(clip)
        self.document = gltf.GLTF2(
            asset=gltf.Asset(version="2.0", generator=about["made_by"], extras=about),
            scene=0,
            scenes=[gltf.Scene(nodes=[], name=clip.source)],
        )
        self._blob = bytearray()
        self.animation = gltf.Animation(name="run", channels=[], samplers=[])

    def accessor(
        self, array: np.ndarray, target: int | None = None, normalized: bool = False
    ) -> int:
        """Store an array (rows, columns), (rows,) or (rows, 4, 4); its number."""
        types = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
        flat = array.reshape(len(array), -1)
        view = gltf.BufferView(
            buffer=0, byteOffset=len(self._blob), byteLength=flat.nbytes, target=target
        )
        self._blob += flat.tobytes()
        self._blob += b"\0" * (-len(self._blob) % 4)
        self.document.bufferViews.append(view)
        bounds = flat.dtype == np.float32 and flat.shape[1] < 16
        self.document.accessors.append(
            gltf.Accessor(
                bufferView=len(self.document.bufferViews) - 1,
                componentType=_COMPONENTS[flat.dtype.str],
                normalized=normalized,
                count=len(flat),
                type=types[flat.shape[1]],
                min=flat.min(axis=0).tolist() if bounds else None,
                max=flat.max(axis=0).tolist() if bounds else None,
            )
        )
        return len(self.document.accessors) - 1

    def node(self, parent: int | None = None, **values: Any) -> int:
        """Add a node, below ``parent`` or at the top."""
        self.document.nodes.append(gltf.Node(**values))
        number = len(self.document.nodes) - 1
        siblings = (
            self.document.scenes[0].nodes
            if parent is None
            else self.document.nodes[parent].children
        )
        siblings.append(number)  # pyright: ignore[reportOptionalMemberAccess]
        return number

    def mesh(self, name: str, material: gltf.Material, mode: int, **accessors: int) -> int:
        """Add a mesh of one primitive; ``indices`` beside the attributes."""
        self.document.materials.append(material)
        indices = accessors.pop("indices", None)
        primitive = gltf.Primitive(
            attributes=gltf.Attributes(**accessors),
            indices=indices,
            mode=mode,
            material=len(self.document.materials) - 1,
        )
        self.document.meshes.append(gltf.Mesh(name=name, primitives=[primitive]))
        return len(self.document.meshes) - 1

    def animate(
        self, node: int, path: str, times: int, values: np.ndarray, step: bool = False
    ) -> None:
        """Let a node's ``translation``, ``rotation`` or ``scale`` follow rows of values."""
        output = self.accessor(np.ascontiguousarray(values, np.float32))
        way = "STEP" if step else "LINEAR"
        sampler = gltf.AnimationSampler(input=times, output=output, interpolation=way)
        self.animation.samplers.append(sampler)
        self.animation.channels.append(
            gltf.AnimationChannel(
                sampler=len(self.animation.samplers) - 1,
                target=gltf.AnimationChannelTarget(node=node, path=path),
            )
        )

    def times(self, times_s: np.ndarray) -> int:
        """Store the times of an animation."""
        return self.accessor(np.ascontiguousarray(times_s, np.float32))

    def finish(self) -> bytes:
        """The file."""
        if self.animation.channels:
            self.document.animations = [self.animation]
        self.document.buffers = [gltf.Buffer(byteLength=len(self._blob))]
        self.document.set_binary_blob(bytes(self._blob))
        return b"".join(self.document.save_to_bytes())


_COMPONENTS = {
    "|u1": gltf.UNSIGNED_BYTE,
    "<u2": gltf.UNSIGNED_SHORT,
    "<u4": gltf.UNSIGNED_INT,
    "<f4": gltf.FLOAT,
}


def _shared_skin(scene: _Scene, skin: Skin) -> dict[str, int]:
    """Faces, joints and weights, stored once for all people."""
    is_small = len(skin.joints) <= 65_535
    faces = skin.faces.astype("<u2" if is_small else "<u4").reshape(-1)
    return {
        "indices": scene.accessor(faces, gltf.ELEMENT_ARRAY_BUFFER),
        "JOINTS_0": scene.accessor(skin.joints.astype(np.uint8), gltf.ARRAY_BUFFER),
        "WEIGHTS_0": scene.accessor(skin.weights, gltf.ARRAY_BUFFER),
    }


def _add_person(scene: _Scene, skin: Skin, person: Person, shared: dict[str, int]) -> None:
    top = scene.node(name=person.name)
    bones = _add_bones(scene, person, top)
    vertices = skin.rest_vertices(person)
    mesh = scene.mesh(
        person.name,
        _paint(person.name, person_color(person.track_id)),
        gltf.TRIANGLES,
        POSITION=scene.accessor(vertices.astype(np.float32), gltf.ARRAY_BUFFER),
        NORMAL=scene.accessor(
            vertex_normals(vertices, skin.faces).astype(np.float32), gltf.ARRAY_BUFFER
        ),
        **shared,
    )
    binds = np.tile(np.eye(4, dtype=np.float32), (len(bones), 1, 1))
    binds[:, :3, 3] = -person.rest_joints
    scene.document.skins.append(
        gltf.Skin(
            name=person.name,
            joints=bones,
            skeleton=bones[0],
            # Columns first, as glTF stores matrices.
            inverseBindMatrices=scene.accessor(binds.transpose(0, 2, 1)),
        )
    )
    scene.node(name=f"{person.name}_skin", mesh=mesh, skin=len(scene.document.skins) - 1)
    _animate_person(scene, person, top, bones)


def _add_bones(scene: _Scene, person: Person, top: int) -> list[int]:
    bones: list[int] = []
    names = scene.clip.joint_names
    for joint, parent in enumerate(scene.clip.joint_parents):
        place = person.rest_joints[joint] - (person.rest_joints[parent] if parent >= 0 else 0.0)
        bones.append(
            scene.node(
                top if parent < 0 else bones[parent],
                name=f"{person.name}_{names[joint]}",
                translation=place.tolist(),
            )
        )
    return bones


def _animate_person(scene: _Scene, person: Person, top: int, bones: list[int]) -> None:
    times = scene.times(scene.clip.times_s[person.frames])
    scene.animate(bones[0], "translation", times, person.root)
    for joint, bone in enumerate(bones):
        if not np.allclose(person.rotations[:, joint], np.eye(3)):
            turns = smooth_quaternions(person.rotations[:, joint])
            scene.animate(bone, "rotation", times, turns)
    if len(person.frames) < len(scene.clip.stamps_ns):
        is_seen = np.isin(np.arange(len(scene.clip.stamps_ns)), person.frames)
        # Where a person was not seen they have size 0, as glTF animates no visibility.
        sizes = np.repeat(is_seen[:, None].astype(np.float64), 3, axis=1)
        scene.animate(top, "scale", scene.times(scene.clip.times_s), sizes, step=True)


def smooth_quaternions(rotations: np.ndarray) -> np.ndarray:
    """Quaternions (n, 4), x y z w, of rotations (n, 3, 3); neighbours on the same side."""
    turns = Rotation.from_matrix(rotations).as_quat()
    signs = np.where((turns[1:] * turns[:-1]).sum(axis=1) < 0, -1.0, 1.0)
    turns[1:] *= np.cumprod(signs)[:, None]
    return turns


def _paint(name: str, color: tuple[int, int, int]) -> gltf.Material:
    linear = [float((value / 255) ** 2.2) for value in color]
    surface = gltf.PbrMetallicRoughness(
        baseColorFactor=[*linear, 1.0], metallicFactor=0.0, roughnessFactor=0.8
    )
    return gltf.Material(name=name, pbrMetallicRoughness=surface)


def _add_cloud(scene: _Scene) -> None:
    if len(scene.clip.points) == 0:
        return
    colors = np.full((len(scene.clip.points), 4), 255, np.uint8)
    # The numbers of an image are sRGB, those of glTF linear.
    colors[:, :3] = np.round(255 * (scene.clip.colors / 255) ** 2.2)
    mesh = scene.mesh(
        "cloud",
        _unlit("cloud"),
        gltf.POINTS,
        POSITION=scene.accessor(scene.clip.points.astype(np.float32), gltf.ARRAY_BUFFER),
        COLOR_0=scene.accessor(colors, gltf.ARRAY_BUFFER, normalized=True),
    )
    scene.node(name="cloud", mesh=mesh)


def _unlit(name: str) -> gltf.Material:
    material = _paint(name, (255, 255, 255))
    material.pbrMetallicRoughness.roughnessFactor = 1.0  # pyright: ignore[reportOptionalMemberAccess]
    return material


def _add_camera(scene: _Scene) -> None:
    clip = scene.clip
    width, height = clip.size_px[0]
    focal = float(clip.intrinsics[0, 1, 1])
    lens = None
    if np.isfinite(focal) and focal > 0:
        angle = 2 * float(np.arctan(height / (2 * focal)))
        view = gltf.Perspective(
            yfov=angle, aspectRatio=float(width / height), znear=0.01, zfar=_FAR_M
        )
        scene.document.cameras.append(gltf.Camera(type="perspective", perspective=view))
        lens = 0
    places = clip.clip_from_camera[:, :3, 3]
    turns = smooth_quaternions(clip.clip_from_camera[:, :3, :3] @ GL_FROM_CV)
    node = scene.node(
        name="camera",
        camera=lens,
        translation=places[0].tolist(),
        rotation=turns[0].tolist(),
    )
    times = scene.times(clip.times_s)
    scene.animate(node, "translation", times, places)
    scene.animate(node, "rotation", times, turns)
    if len(places) > 1:
        path = scene.accessor(places.astype(np.float32), gltf.ARRAY_BUFFER)
        line = scene.mesh("camera_path", _unlit("camera_path"), gltf.LINE_STRIP, POSITION=path)
        scene.node(name="camera_path", mesh=line)
