"""People, cloud and camera in a web page, frame by frame: a viser scene.

Knows nothing of where frames come from: ``human3r view`` gives those of a recording, a live node
gives each as it comes. Needs the extra ``web``.
"""

import contextlib
import io
import logging
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import viser
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from human3r.body.kinematics import global_rotations
from human3r.body.skeleton import JOINT_PARENTS, NUM_JOINTS
from human3r.errors import InputError
from human3r.viewer.colors import person_color
from human3r.viewer.web_frames import (
    LAYERS,
    LOOPBACK,
    BodyShape,
    SceneCamera,
    SceneFrame,
    ScenePerson,
)

_MAX_PEOPLE = 64
"""Bodies that a page holds; the one unseen for longest makes room. None is ever taken out of it:
where a skinned mesh goes, viser 1.1.1 asks the node that went before it to remove its bones, which
is null by then, and the whole page goes blank. Hidden ones are worn by whoever comes next."""
_LABEL_ABOVE_M = 0.25
_FRUSTUM_M = 0.35
_GRID_BELOW_M = 0.06
_PATH_COLOR = (255, 196, 84)
_SILENT_COLOR = (120, 120, 130)
_JPEG_QUALITY = 75
_FAINT_OPACITY = 0.35
_ELLIPSOID_OPACITY = 0.3
_THINNEST_M, _WIDEST_M = 0.003, 3.0
"""Standard deviations that can be drawn."""
_CHILDREN, _PARENTS = np.arange(1, NUM_JOINTS), np.array(JOINT_PARENTS[1:])


@contextlib.contextmanager
def quiet_server(port: int = 0, host: str = LOOPBACK) -> Iterator[viser.ViserServer]:
    """A viser server that prints nothing, and ends with the block.

    Args:
        port: of its pages; 0: any that is free.
        host: address it listens at; by default it cannot be reached from other machines.

    Raises:
        InputError: the port is taken, or the address is not one of this machine.
    """
    logging.getLogger("websockets").setLevel(logging.WARNING)
    _check_address(host)
    with contextlib.redirect_stdout(io.StringIO()):
        server = viser.ViserServer(host=host, port=port, label="human3r", verbose=False)
    try:
        # viser counts up from a taken one: the page would not be found.
        if port and server.get_port() != port:
            raise InputError(
                f"port {port} of {host} is taken; expected a free one. End what uses it, name "
                "another port, or 0 for any that is free."
            )
        yield server
    finally:
        with contextlib.redirect_stdout(io.StringIO()):
            server.stop()


def _check_address(host: str) -> None:
    """Before the server's thread fails with it, unheard."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind(address)
    except OSError as error:
        raise InputError(
            f"nobody can listen at {host!r} ({error}); expected an address of this machine: "
            f"{LOOPBACK} for this machine alone, 0.0.0.0 for everybody in its network."
        ) from error


@dataclass
class _Drawn:
    """What of a person is in the page."""

    node: str
    """Last part of the names of its nodes."""
    mesh: viser.MeshSkinnedHandle | None
    skeleton: viser.LineSegmentsHandle
    label: viser.LabelHandle
    ellipsoid: viser.IcosphereHandle
    is_faint: bool = False
    handles: list[viser.SceneNodeHandle] = field(default_factory=list)

    def show(self, is_seen: bool) -> None:
        for handle in self.handles:
            handle.visible = is_seen


@dataclass
class _DrawnCamera:
    """What of a camera is in the page."""

    frustum: viser.CameraFrustumHandle
    label: viser.LabelHandle | None

    def show(self, camera: SceneCamera) -> None:
        frustum, pose = self.frustum, camera.page_from_camera
        if (frustum.fov, frustum.aspect) != (camera.fov_rad, camera.aspect):
            frustum.fov, frustum.aspect = camera.fov_rad, camera.aspect
        frustum.wxyz = _wxyz(pose[:3, :3])
        frustum.position = pose[:3, 3]
        color = _SILENT_COLOR if camera.is_silent else _PATH_COLOR
        if tuple(frustum.color) != color:
            frustum.color = color
        if camera.is_silent:
            frustum.image = None
        elif camera.image is not None:
            frustum.image = camera.image
        if self.label is not None:
            text = f"{camera.name} (silent)" if camera.is_silent else camera.name
            self.label.position = pose[:3, 3] + np.array([0.0, 0.0, _LABEL_ABOVE_M])
            if self.label.text != text:
                self.label.text = text

    def remove(self) -> None:
        self.frustum.remove()
        if self.label is not None:
            self.label.remove()


def camera_path(name: str) -> str:
    """What the path of a camera is called in ``WebScene.set_path``."""
    return f"camera {name}" if name else "camera"


def _path_node(name: str) -> str:
    layer = "camera" if name.startswith("camera") else "paths"
    return f"/{layer}/path of {name}"


class WebScene:
    """Draws frames into a viser server; all its pages show the newest one.

    Attributes:
        layers: node of each layer; its ``visible`` switches the layer.
    """

    def __init__(
        self,
        server: viser.ViserServer,
        faces: np.ndarray,
        skin_weights: Float[np.ndarray, "vertices 55"],
    ) -> None:
        """An empty page; z is up.

        Args:
            server: of viser.
            faces: (faces, 3) triangles of every body.
            skin_weights: of the body model; a page uses the strongest four of each vertex.
        """
        self._server = server
        self._faces = faces
        self._weights = skin_weights
        self._people: dict[int, _Drawn] = {}
        """The longest unseen first."""
        self._spare: list[str] = []
        """Nodes of bodies that nobody wears, hidden."""
        self._paths: set[str] = set()
        scene = server.scene
        scene.set_up_direction("+z")
        scene.set_background_image(_backdrop(), "png")
        self.layers = {
            name: scene.add_frame(f"/{name}", show_axes=False, visible=is_shown)
            for name, is_shown in LAYERS.items()
        }
        self._cameras: dict[str, _DrawnCamera] = {}

    def set_cloud(
        self,
        points: Float[np.ndarray, "points 3"],
        colors: np.ndarray,
        point_size_m: float = 0.02,
        layer: str = "cloud",
    ) -> None:
        """Replace a cloud; ``colors`` (points, 3) uint8.

        Args:
            points: of the static scene, or of people as the camera saw them.
            colors: of the points.
            point_size_m: side of the square that stands for a point.
            layer: ``cloud`` or ``people in the cloud``.
        """
        self._server.scene.add_point_cloud(
            f"/{layer}/points",
            points.astype(np.float32),
            colors,
            point_size=point_size_m,
            point_shading="flat",
        )

    def set_floor(self, height_m: float, center: Float[np.ndarray, "2"], size_m: float) -> None:
        """A grid of half metres a little below a height, where the floor's points hide it."""
        self._server.scene.add_grid(
            "/floor/grid",
            width=size_m,
            height=size_m,
            plane="xy",
            cell_size=0.5,
            section_size=2.5,
            cell_color=(74, 82, 100),
            section_color=(112, 122, 146),
            shadow_opacity=0.35,
            position=(float(center[0]), float(center[1]), height_m - _GRID_BELOW_M),
        )

    def set_path(
        self, name: str, places: Float[np.ndarray, "n 3"], color: tuple[int, int, int] = _PATH_COLOR
    ) -> None:
        """A line along places, replacing the one of that name: ``camera...`` or a person's."""
        if len(places) < 2:
            return
        self._paths.add(name)
        self._server.scene.add_line_segments(
            _path_node(name),
            np.stack([places[:-1], places[1:]], axis=1).astype(np.float32),
            color,
            thickness=2.5,
            thickness_units="screen",
        )

    def remove_path(self, name: str) -> None:
        """Take the line of that name out; does nothing where there is none."""
        self._paths.discard(name)
        self._server.scene.remove_by_name(_path_node(name))

    def forget(self) -> None:
        """Nothing but the camera is to be seen: another world begins."""
        for track_id in list(self._people):
            self.remove_person(track_id)
        for name in list(self._paths):
            self.remove_path(name)
        for name in ("/cloud/points", "/people in the cloud/points"):
            self._server.scene.remove_by_name(name)

    def knows(self, track_id: int) -> bool:
        """Whether a body was added for this identity, and is kept still."""
        return track_id in self._people

    def add_person(self, track_id: int, shape: BodyShape | None) -> None:
        """A body for an identity, not yet shown.

        Args:
            track_id: whose.
            shape: of the skin; None: only a skeleton is drawn.
        """
        self.remove_person(track_id)
        scene, color, name = self._server.scene, person_color(track_id), self._free_node(track_id)
        mesh = None
        if shape is not None:
            mesh = scene.add_mesh_skinned(
                f"/people/{name}",
                shape.vertices.astype(np.float32),
                self._faces,
                bone_wxyzs=np.tile([1.0, 0.0, 0.0, 0.0], (NUM_JOINTS, 1)),
                bone_positions=shape.joints,
                skin_weights=self._weights,
                color=color,
                visible=False,
            )
        bones = np.zeros((NUM_JOINTS - 1, 2, 3), np.float32)
        skeleton = scene.add_line_segments(
            f"/skeletons/{name}",
            bones,
            color,
            thickness=4.0,
            thickness_units="screen",
            visible=False,
        )
        label = scene.add_label(
            f"/names/{name}", f"person {track_id}", anchor="bottom-center", visible=False
        )
        ellipsoid = scene.add_icosphere(
            f"/uncertainty/{name}",
            color=color,
            opacity=_ELLIPSOID_OPACITY,
            cast_shadow=False,
            receive_shadow=False,
            visible=False,
        )
        drawn = _Drawn(name, mesh, skeleton, label, ellipsoid)
        drawn.handles = [one for one in (mesh, skeleton, label, ellipsoid) if one is not None]
        self._people[track_id] = drawn

    def _free_node(self, track_id: int) -> str:
        """A name for a body's nodes that nobody wears; what has it now is replaced."""
        own = f"person {track_id}"
        if own not in self._spare:
            if len(self._people) + len(self._spare) < _MAX_PEOPLE:
                return own
            if not self._spare:
                self.remove_person(next(iter(self._people)))
            own = self._spare[0]
        self._spare.remove(own)
        return own

    def remove_person(self, track_id: int) -> None:
        """Hide a body for good; does nothing where there is none."""
        drawn = self._people.pop(track_id, None)
        if drawn is not None:
            drawn.show(False)
            self._spare.append(drawn.node)

    def show(self, frame: SceneFrame) -> None:
        """Show a moment; people who were not added get a skeleton only."""
        for person in frame.people:
            if not self.knows(person.track_id):
                self.add_person(person.track_id, None)
        seen = {person.track_id: person for person in frame.people}
        # All of it reaches a page at once: no body is seen half moved.
        with self._server.atomic():
            self._show_cameras(frame.cameras)
            for track_id, drawn in list(self._people.items()):
                drawn.show(track_id in seen)
                if track_id in seen:
                    self._people[track_id] = self._people.pop(track_id)
                    _pose(drawn, seen[track_id])

    def _show_cameras(self, cameras: Sequence[SceneCamera]) -> None:
        for name in self._cameras.keys() - {camera.name for camera in cameras}:
            self._cameras.pop(name).remove()
        for camera in cameras:
            if camera.name not in self._cameras:
                self._cameras[camera.name] = self._add_camera(camera)
            self._cameras[camera.name].show(camera)

    def _add_camera(self, camera: SceneCamera) -> "_DrawnCamera":
        scene, name = self._server.scene, camera.name
        frustum = scene.add_camera_frustum(
            f"/camera/frustum of {name}" if name else "/camera/frustum",
            camera.fov_rad,
            camera.aspect,
            scale=_FRUSTUM_M,
            color=_PATH_COLOR,
            format="jpeg",
            jpeg_quality=_JPEG_QUALITY,
            cast_shadow=False,
        )
        label = None
        if name:
            label = scene.add_label(f"/camera/name of {name}", name, anchor="bottom-center")
        return _DrawnCamera(frustum, label)


def _pose(drawn: _Drawn, person: ScenePerson) -> None:
    joints = person.joints
    if drawn.mesh is not None:
        turns = _wxyz(global_rotations(person.rotations[None])[0])
        for bone, turn, place in zip(drawn.mesh.bones, turns, joints, strict=True):
            bone.wxyz = turn
            bone.position = place
        if drawn.is_faint != person.is_predicted:
            drawn.mesh.opacity = _FAINT_OPACITY if person.is_predicted else None
            drawn.is_faint = person.is_predicted
    drawn.skeleton.points = np.stack(
        [joints[_PARENTS], joints[_CHILDREN]], axis=1, dtype=np.float32
    )
    highest = joints[np.argmax(joints[:, 2])]
    drawn.label.position = highest + np.array([0.0, 0.0, _LABEL_ABOVE_M])
    _show_uncertainty(drawn.ellipsoid, person)


def _show_uncertainty(ellipsoid: viser.IcosphereHandle, person: ScenePerson) -> None:
    """Where the pelvis is within two standard deviations; nothing where that is unknown."""
    covariance = person.covariance
    if covariance is None or not np.isfinite(covariance).all():
        ellipsoid.visible = False
        return
    variances, axes = np.linalg.eigh(covariance)
    axes[:, 0] *= np.linalg.det(axes)
    radii = 2.0 * np.sqrt(np.clip(variances, _THINNEST_M**2, _WIDEST_M**2))
    ellipsoid.scale = tuple(radii.tolist())
    ellipsoid.wxyz = _wxyz(axes)
    ellipsoid.position = person.joints[0]


def _backdrop() -> np.ndarray:
    """Dark, a little lighter towards the middle: coloured bodies stand out before it."""
    y, x = np.mgrid[-1:1:135j, -1:1:240j]
    glow = np.exp(-1.1 * (x**2 + (y + 0.1) ** 2))[..., None]
    shade = np.array([15, 17, 22]) + glow * np.array([25, 29, 38])
    # Half a level of noise, or the few levels there are would show as rings.
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (*x.shape, 1))
    return np.round(shade + noise).clip(0, 255).astype(np.uint8)


def _wxyz(rotations: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4), real part first, of rotations (..., 3, 3)."""
    return np.roll(Rotation.from_matrix(rotations).as_quat(), 1, axis=-1)


def camera_view(
    page_from_camera: Float[np.ndarray, "4 4"], behind_m: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eye, point looked at and up direction of a page that sees what a camera sees."""
    right_down_ahead, place = page_from_camera[:3, :3], page_from_camera[:3, 3]
    ahead = right_down_ahead[:, 2]
    return place - behind_m * ahead, place + 3.0 * ahead, -right_down_ahead[:, 1]
