"""A recorded bag as the result of a run: people, cameras, cloud and images of its messages.

Bags of ``run --save bag``, of the demo, of ``human3r record`` and of ``ros2 bag record`` hold the
same messages (human3r_msgs/HumanArray and what lies beside it), read here without ROS.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection
from scipy.spatial.transform import Rotation

from human3r.body import skeleton
from human3r.errors import InputError
from human3r.export.result import Result, ResultCamera
from human3r.export.result_world import frames_of_one_world
from human3r.geometry import invert, transform_points
from human3r.io.bag import open_bag
from human3r.io.image_messages import rgb_from_message
from human3r.io.message_definitions import register_type
from human3r.io.scene_cloud import SceneCloud
from human3r.io.scene_file import DEFAULT_VOXEL_M
from human3r.io.stream_rules import stamp_ns_of
from human3r.types import MAX_IMAGE_PIXELS, TrackState
from human3r.viewer.small_images import MAX_IMAGES, small_image

log = logging.getLogger(__name__)

_HUMANS, _SKELETON = "human3r_msgs/msg/HumanArray", "human3r_msgs/msg/SkeletonInfo"
_TF = "tf2_msgs/msg/TFMessage"
_CLOUD, _INFO = "sensor_msgs/msg/PointCloud2", "sensor_msgs/msg/CameraInfo"
_IMAGES = ("sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/Image")
_ROTATING = skeleton.NUM_JOINTS
_PLAIN = (*skeleton.JOINT_NAMES, *skeleton.FACE)
"""Names of the published joints, where the bag does not say them."""
_USUAL_FOV_RAD = 1.0
_NUMBERS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 8: "<f8"}
"""Of sensor_msgs/PointField."""


def read_bag_result(path: Path, topic: str | None = None, session: int | None = None) -> Result:
    """What a bag says about people, scene and camera.

    Args:
        path: rosbag2 folder, .mcap or .db3.
        topic: of the people, where the bag has several.
        session: number of one whose world is wanted; None: the world with the most frames.

    Raises:
        InputError: no bag, no people in it, several topics of them, or damaged messages.
    """
    with _Bag(path, topic) as bag:
        return bag.result(session)


class _Bag:
    """An opened bag, and which of its topics belong to the people that are wanted."""

    def __init__(self, path: Path, topic: str | None) -> None:
        self._path = path
        self._reader: AnyReader = open_bag(path)
        try:
            self._topic = self._choose(topic)
            self._learn_types()
        except BaseException:
            self._reader.close()
            raise
        self._near = self._topic.rpartition("/")[0]

    def __enter__(self) -> "_Bag":
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def _choose(self, topic: str | None) -> str:
        offered = sorted({c.topic for c in self._reader.connections if c.msgtype == _HUMANS})
        if topic is not None:
            wanted = [name for name in offered if name.strip("/") == topic.strip("/")]
            if not wanted:
                raise InputError(
                    f"{self._path}: no people on {topic}; expected one of: "
                    f"{', '.join(offered) or 'no topic of people at all'}."
                )
            return wanted[0]
        if not offered:
            raise InputError(
                f"{self._path}: a bag without people ({_HUMANS}) among its "
                f"{len(self._reader.connections)} topics; expected one that human3r recorded. "
                "Make people of its images first: human3r run BAG."
            )
        # Of several cameras, those of all have a topic above those of each.
        of_all = [n for n in offered if all(o.startswith(_under(n)) for o in offered if o != n)]
        if len(offered) > 1 and len(of_all) == 1:
            return of_all[0]
        if len(offered) > 1:
            raise InputError(
                f"{self._path}: several topics of people; expected to be told which. Add --topic "
                f"with one of: {', '.join(offered)}."
            )
        return offered[0]

    def _learn_types(self) -> None:
        """SQLite bags of older ROS 2 releases hold no definitions; those installed here do."""
        for kind in (_HUMANS, _SKELETON):
            try:
                register_type(self._reader.typestore, kind)
            except LookupError as error:
                raise InputError(
                    f"{self._path}: holds no definition of its messages, and here is none "
                    f"either; expected a bag that does, such as MCAP. {error}"
                ) from error

    def result(self, session: int | None) -> Result:
        arrays = self._people_arrays()
        known = arrays.pop("is_placed")
        cameras = self._cameras()
        if not known.any() and not cameras:
            log.warning(
                "%s: says nowhere where the camera is; it is taken to stand still", self._path
            )
        elif known.any() and not known.all():
            log.warning(
                "%s: %d of %d frames left out, before which way is up was known",
                *(self._path, (~known).sum(), len(known)),
            )
        wanted = known if known.any() else ~known
        wanted[wanted] = frames_of_one_world(
            self._path,
            arrays["session"][wanted],
            arrays["level_from_camera"][wanted],
            session,
        )
        return replace(self._assembled(arrays, wanted), cameras=cameras)

    def _cameras(self) -> tuple[ResultCamera, ...]:
        """Of several cameras, those whose pose TF says; empty where there is one camera.

        The world is the frame of the people of all cameras.
        """
        below = _under(self._topic)
        names = {c.topic for c in self._reader.connections if c.msgtype == _HUMANS}
        found = []
        for topic in sorted(n for n in names if n.startswith(below) and n != self._topic):
            arrays = self._people_arrays(topic)
            world, frame = (self._frame_of(one) for one in (self._topic, topic))
            pose = self._static_pose(world, frame)
            if pose is None:
                log.warning(
                    "%s: TF does not say where %s is in %s; it is not shown",
                    *(self._path, frame, world),
                )
                continue
            near, stamps = topic.rpartition("/")[0], arrays["stamps_ns"]
            name = near.rpartition("/")[2]
            counts = [len(people) for people in arrays["people"]]
            rows = np.repeat(np.arange(len(counts)), counts)
            everybody = [one for people in arrays["people"] for one in people]
            size = arrays["size_px"]
            found.append(
                ResultCamera(
                    name=name,
                    stamps_ns=stamps,
                    world_from_camera=np.repeat(pose[None], len(stamps), 0),
                    intrinsics=self._intrinsics(near, stamps, size, rows, everybody),
                    size_px=size,
                    images=partial(self._images, near, stamps, (f"/{name}/image_raw",)),
                )
            )
        return tuple(found)

    def _frame_of(self, topic: str) -> str:
        """Frame of the first message."""
        messages = self._messages(self._connections(topic, kinds=(_HUMANS,)))
        return next((str(one.header.frame_id) for one in messages), "")

    def _static_pose(self, world: str, frame: str) -> np.ndarray | None:
        """world_from_frame (4, 4) along static transforms; None where there is no path."""
        edges: dict[str, tuple[str, np.ndarray]] = {}
        for message in self._messages(self._connections("/tf_static", kinds=(_TF,))):
            for one in message.transforms:
                edges[one.child_frame_id] = one.header.frame_id, _transform(one.transform)
        pose = np.eye(4)
        for _ in range(len(edges) + 1):
            if frame == world:
                return pose
            if frame not in edges:
                return None
            frame, parent_from_child = edges[frame]
            pose = parent_from_child @ pose
        return None

    def _assembled(self, arrays: dict[str, Any], wanted: np.ndarray) -> Result:
        level_from_camera = arrays["level_from_camera"][wanted]
        stamps = arrays["stamps_ns"][wanted]
        world_from_level = invert(level_from_camera[0])
        up = world_from_level[:3, 2]
        people = [one for frame in np.flatnonzero(wanted) for one in arrays["people"][frame]]
        counts = [len(arrays["people"][frame]) for frame in np.flatnonzero(wanted)]
        names, parents, body_model = self._skeleton()
        columns = _columns(people, self._path, len(names))
        frame = np.repeat(np.arange(len(counts)), counts)
        size = arrays["size_px"][wanted]
        points, colors = self._scene(stamps, level_from_camera)
        return Result(
            folder=self._path,
            source=self._path.name,
            frame=frame,
            scale=arrays["scale"][wanted][frame],
            **columns,
            stamps_ns=stamps,
            session=arrays["session"][wanted],
            world_from_camera=world_from_level @ level_from_camera,
            intrinsics=self._intrinsics(self._near, stamps, size, frame, people),
            size_px=size,
            joint_names=names,
            joint_parents=parents,
            body_model=body_model,
            body_model_sha256="",
            body_model_file="",
            up_world=up,
            # The default, an untilted camera, is not what anybody has said.
            is_up_set=not np.allclose(up, (0, -1, 0), atol=1e-4),
            points_world=transform_points(world_from_level, points).astype(np.float32),
            colors=colors,
            images=partial(self._images, self._near, stamps),
        )

    def _connections(self, *topics: str, kinds: tuple[str, ...]) -> list[Connection]:
        """Those of the first of the topics that the bag has, as one of the types."""
        for topic in topics:
            found = [c for c in self._reader.connections if c.topic == topic and c.msgtype in kinds]
            if found:
                return found
        return []

    def _messages(self, connections: list[Connection]) -> Iterator[Any]:
        if not connections:
            return
        try:
            for connection, _, data in self._reader.messages(connections=connections):
                yield self._reader.deserialize(data, connection.msgtype)
        # rosbags lets the errors of its decompressors, of struct, numpy and sqlite through.
        except Exception as error:
            raise InputError(
                f"{self._path}: a message on {connections[0].topic} cannot be read "
                f"({error or type(error).__name__}); expected a whole bag. `human3r bag repair` "
                "keeps what is in one that was cut off."
            ) from error

    def _people_arrays(self, topic: str = "") -> dict[str, Any]:
        """One row per frame, in the order of stamps; ``people`` holds messages.

        Args:
            topic: of the people; empty: those that are wanted.
        """
        topic = topic or self._topic
        rows: dict[int, Any] = {}
        for message in self._messages(self._connections(topic, kinds=(_HUMANS,))):
            # The closing message of a stream names no frame.
            if message.camera_pose_valid or message.humans or message.frame_index:
                rows.setdefault(stamp_ns_of(message.header.stamp), message)
        if not rows:
            raise InputError(
                f"{self._path}: not one frame on {topic}; expected some. Record longer."
            )
        stamps = sorted(rows)
        messages = [rows[stamp] for stamp in stamps]
        return {
            "stamps_ns": np.array(stamps, np.int64),
            "session": np.array([one.session for one in messages], np.int64),
            "is_placed": np.array([bool(one.camera_pose_valid) for one in messages]),
            "level_from_camera": np.stack([_matrix(one.camera_pose) for one in messages]),
            "scale": np.array([one.scale for one in messages], np.float64),
            "size_px": np.array([(o.image_width, o.image_height) for o in messages], np.int64),
            "people": [[one for one in m.humans if _is_usable(one)] for m in messages],
        }

    def _skeleton(self) -> tuple[tuple[str, ...], tuple[int, ...], str]:
        """Names and parents of the joints, and the body model's name, as the bag says."""
        connections = self._connections(f"{self._near}/skeleton", kinds=(_SKELETON,))
        for message in self._messages(connections):
            names = tuple(str(name) for name in message.joint_names)
            if names[:_ROTATING] == skeleton.JOINT_NAMES:
                parents = tuple(int(parent) for parent in message.joint_parents)
                return names, parents, str(message.body_model)
        log.warning(
            "%s: no %s/skeleton; joints are taken to be the usual ones", self._path, self._near
        )
        return _PLAIN, skeleton.JOINT_PARENTS, ""

    def _scene(
        self, stamps: np.ndarray, level_from_camera: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Points and colours in the level frame: the last map, else the frames' points."""
        found = np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8)
        maps = self._connections(f"{self._near}/map/points", kinds=(_CLOUD,))
        for message in self._messages(maps):
            if stamps[0] <= stamp_ns_of(message.header.stamp) <= stamps[-1]:
                found = _points_of(message, self._path)
        if len(found[0]):
            return found
        cloud = SceneCloud(DEFAULT_VOXEL_M)
        pose_at = dict(zip(stamps.tolist(), level_from_camera, strict=True))
        scenes = self._connections(f"{self._near}/scene/points", kinds=(_CLOUD,))
        for message in self._messages(scenes):
            pose = pose_at.get(stamp_ns_of(message.header.stamp))
            if pose is not None:
                points, colors = _points_of(message, self._path)
                cloud.add(transform_points(pose, points), colors)
        return cloud.result()[:2]

    def _intrinsics(
        self,
        near: str,
        stamps: np.ndarray,
        size_px: np.ndarray,
        frame: np.ndarray,
        people: list[Any],
    ) -> np.ndarray:
        """(frames, 3, 3) of the source image; frames without any have those of the one before."""
        infos: dict[int, np.ndarray] = {}
        connections = self._connections(f"{near}/color/camera_info", kinds=(_INFO,))
        sizes = dict(zip(stamps.tolist(), size_px, strict=True))
        for message in self._messages(connections):
            stamp = stamp_ns_of(message.header.stamp)
            if stamp in sizes and message.width and message.height and message.k[0] > 0:
                grown = sizes[stamp] / (message.width, message.height)
                infos[stamp] = _resized(np.reshape(message.k, (3, 3)), *grown)
        last = next(iter(infos.values()), None)
        if last is None:
            last = _from_pixels(people) if people else None
        if last is None:
            width, height = size_px[0]
            focal = height / 2 / np.tan(_USUAL_FOV_RAD / 2)
            last = np.array([[focal, 0, width / 2 - 0.5], [0, focal, height / 2 - 0.5], [0, 0, 1]])
            if size_px.any():  # People of several cameras belong to no image.
                log.warning(
                    "%s: does not say which camera it was; drawn as an usual one", self._path
                )
        found = []
        for stamp in stamps.tolist():
            last = infos.get(stamp, last)
            found.append(last)
        return np.stack(found)

    def _images(
        self, near: str, stamps: np.ndarray, others: Sequence[str] | None = None
    ) -> dict[int, np.ndarray]:
        """Small images by frame, as far as the bag has any of the same stamps.

        Args:
            near: namespace of the topics of one camera.
            stamps: of the frames.
            others: more topics where its images may be; None: all.
        """
        connections = self._reader_again().connections
        if others is None:
            others = sorted(
                connection.topic
                for connection in connections
                if connection.msgtype in _IMAGES and not connection.topic.startswith(near + "/")
            )
        try:
            numbers = {stamp: number for number, stamp in enumerate(stamps.tolist())}
            step = max(1, -(-len(stamps) // MAX_IMAGES))
            names = (f"{near}/color/image/compressed", *others)
            found = {}
            for message in self._messages(self._connections(*names, kinds=_IMAGES)):
                number = numbers.get(stamp_ns_of(message.header.stamp), -1)
                if number >= 0 and number % step == 0:
                    image = rgb_from_message(message, str(self._path), MAX_IMAGE_PIXELS)
                    found[number] = small_image(image)
            return found
        # A page without a picture in its camera is better than none.
        except (InputError, cv2.error) as error:
            log.warning("%s: no images: %s", self._path, error)
            return {}
        finally:
            self._reader.close()

    def _reader_again(self) -> AnyReader:
        """Images are asked for after everything else, when the bag may have been closed."""
        if self._reader.stack is None:
            self._reader = open_bag(self._path)
        return self._reader


def _under(topic: str) -> str:
    """What topics of single cameras begin with, when those of all are on a topic."""
    return f"{topic.rpartition('/')[0]}/"


def _columns(people: list[Any], path: Path, num_joints: int) -> dict[str, Any]:
    """The rows of people as arrays of a ``Result``."""
    count = len(people)
    quaternions = np.zeros((count, _ROTATING, 4))
    joints = np.zeros((count, num_joints, 3), np.float32)
    betas, expression = np.full((count, 10), np.nan), np.zeros((count, 10))
    visibility, covariance = np.full((count, 60), np.nan), np.full((count, 36), np.nan)
    for row, one in enumerate(people):
        try:
            quaternions[row] = np.reshape(one.joint_rotations, (_ROTATING, 4))
            joints[row] = np.reshape(one.joint_positions, (num_joints, 3))
            if len(one.betas):
                betas[row] = one.betas
            if len(one.expression):
                expression[row] = one.expression
            if len(one.joint_visibility):
                visibility[row] = one.joint_visibility
            if one.body_pose_covariance[0] >= 0:
                covariance[row] = one.body_pose_covariance
        except ValueError as error:
            raise InputError(
                f"{path}: person {one.track_id} has {len(one.joint_positions)} numbers of joints "
                f"and {len(one.joint_rotations)} of rotations; expected {3 * num_joints} and "
                f"{4 * _ROTATING}. Was the bag recorded by another version of human3r?"
            ) from error
    rotations = Rotation.from_quat(quaternions.reshape(-1, 4)) if count else None
    matrices = np.zeros((0, _ROTATING, 3, 3))
    if rotations is not None:
        matrices = rotations.as_matrix().reshape(count, _ROTATING, 3, 3)
    return {
        "track_id": np.array([one.track_id for one in people], np.int64),
        "score": np.array([one.score for one in people], np.float64),
        "rotations": matrices[:, skeleton.JOINT_OF_ROTATION],
        "betas": betas,
        "expression": expression,
        "joints_camera": joints,
        "track_state": np.array([one.track_state for one in people], np.uint8),
        "visibility": visibility,
        "covariance": covariance,
    }


def _is_usable(human: Any) -> bool:
    if human.track_state == TrackState.LOST and not len(human.joint_positions):
        return False  # Only says that its number is not used again.
    turns = np.reshape(human.joint_rotations, (-1, 4))
    return bool(
        np.isfinite(human.joint_positions).all()
        and np.isfinite(turns).all()
        and (np.linalg.norm(turns, axis=1) > 0.5).all()
    )


def _matrix(pose: Any) -> np.ndarray:
    q, p = pose.orientation, pose.position
    matrix = np.eye(4)
    turn = np.array([q.x, q.y, q.z, q.w])
    if np.isfinite(turn).all() and np.linalg.norm(turn) > 0.5:
        matrix[:3, :3] = Rotation.from_quat(turn).as_matrix()
    matrix[:3, 3] = p.x, p.y, p.z
    return matrix


def _transform(transform: Any) -> np.ndarray:
    q, t = transform.rotation, transform.translation
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()
    matrix[:3, 3] = t.x, t.y, t.z
    return matrix


def _points_of(message: Any, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 3) float32 and colours (n, 3) uint8 of a cloud; those not finite are left out."""
    try:
        offsets = {str(field.name): field for field in message.fields}
        names = ("x", "y", "z", "rgb")
        dtype = np.dtype(
            {
                "names": names,
                "formats": [_NUMBERS[offsets[name].datatype] for name in names],
                "offsets": [int(offsets[name].offset) for name in names],
                "itemsize": int(message.point_step),
            }
        )
        rows = np.frombuffer(bytes(message.data), dtype)
        points = np.stack([rows[name].astype(np.float32) for name in names[:3]], axis=1)
        packed = np.ascontiguousarray(rows["rgb"]).view(np.uint32)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path}: a cloud cannot be read ({error}); expected x, y, z and rgb as human3r "
            "writes them."
        ) from error
    colors = np.stack([packed >> 16, packed >> 8, packed], axis=1).astype(np.uint8)
    good = np.isfinite(points).all(axis=1)
    return points[good], colors[good]


def _from_pixels(people: list[Any]) -> np.ndarray | None:
    """The camera that takes all joints to where the messages say they are in the image."""
    joints = np.concatenate([np.reshape(one.joint_positions, (-1, 3)) for one in people])
    pixels = np.concatenate([np.reshape(one.joint_pixels, (-1, 2)) for one in people])
    if len(pixels) != len(joints):
        return None
    good = np.isfinite(pixels).all(axis=1) & (joints[:, 2] > 0.1)
    matrix = np.eye(3)
    for axis in range(2):
        rays = joints[good, axis] / joints[good, 2]
        if len(rays) < 2 or np.ptp(rays) < 1e-3:
            return None
        matrix[axis, axis], matrix[axis, 2] = np.polyfit(rays, pixels[good, axis], 1)
    return matrix if matrix[0, 0] > 0 and matrix[1, 1] > 0 else None


def _resized(matrix: np.ndarray, sx: float, sy: float) -> np.ndarray:
    """The camera matrix of an image so many times as large; pixel corners stay together."""
    grown = np.array(matrix, np.float64)
    grown[0] *= sx
    grown[1] *= sy
    grown[0, 2] += 0.5 * sx - 0.5
    grown[1, 2] += 0.5 * sy - 0.5
    return grown
