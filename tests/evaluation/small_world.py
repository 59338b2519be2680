"""A made-up room with the free body standing in it, and estimates that are as good as told."""

from dataclasses import dataclass, replace
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import torch
from human3r_lab.datasets import PeopleTruth, ViewTruth
from human3r_lab.evaluation.runner import evaluate
from human3r_lab.evaluation.truth import FreeBodyScheme
from scipy.spatial.transform import Rotation

from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.config import Settings
from human3r.errors import InputError, NonFiniteError
from human3r.geometry import invert, transform_points
from human3r.streaming.preprocess import fit_geometry, resize_and_crop
from human3r.types import BodyParameters, Frame, FrameEstimate, Intrinsics, PersonEstimate
from human3r.viewer.overlay import project
from human3r.viewer.raster import silhouette

WIDTH, HEIGHT = 96, 64
CAMERA = Intrinsics(80.0, 80.0, 47.5, 31.5, WIDTH, HEIGHT)
EYE_M = 1.4
WALL_M = 8.0
SECOND_NS = 1_000_000_000
BODY_FROM_WORLD = np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])
"""The body's x is to its left, y up, z forward; people look along the world's -x."""


@lru_cache(maxsize=1)
def free_body():
    return load_body_model(default_body_path())


def world_from_camera(x_m: float = 0.0, y_m: float = 0.0, yaw_rad: float = 0.0) -> np.ndarray:
    """A level camera that looks along the world's x, turned to the left by yaw."""
    pose = np.eye(4)
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    pose[:3, :3] = turn @ np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    pose[:3, 3] = x_m, y_m, EYE_M
    return pose


def view(
    places: dict[int, tuple[float, float]], pose: np.ndarray | None = None, number: int = 0
) -> ViewTruth:
    """People (id to place on the floor in the world) facing a camera in an empty room."""
    pose = world_from_camera() if pose is None else pose
    people = _people(places, pose)
    depth = _room_depth(pose)
    index = np.zeros(depth.shape, np.uint8)
    _draw_people(people, depth, index)
    rng = np.random.default_rng(7)
    image = rng.integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    image[index > 0] //= 3
    return ViewTruth(
        image=image,
        depth_m=depth.astype(np.float32),
        person_index=index,
        intrinsics=CAMERA,
        world_from_camera=pose,
        people=people,
        stamp_ns=(number + 1) * SECOND_NS // 10,
    )


def walk(num_frames: int = 8, num_people: int = 2) -> list[ViewTruth]:
    """People walk sideways while the camera moves and turns."""
    return [
        view(
            {
                person: (3.0 + person, 0.2 * step - 0.7 * person + 0.4)
                for person in range(1, num_people + 1)
            },
            world_from_camera(0.1 * step, 0.05 * step**1.5, 0.02 * step),
            step,
        )
        for step in range(num_frames)
    ]


def posed(people: PeopleTruth):
    """Joints (people, joints, 3) and vertices of the free body."""
    with torch.inference_mode():
        mesh = free_body()(
            *(
                torch.from_numpy(np.ascontiguousarray(x))
                for x in (people.rotations, people.betas, people.expression, people.head_camera)
            )
        )
    return mesh.joints.numpy(), mesh.vertices.numpy()


def _people(places, pose):
    if not places:
        return PeopleTruth.nobody()
    count = len(places)
    rotations = np.tile(np.eye(3, dtype=np.float32), (count, 53, 1, 1))
    world_from_body = BODY_FROM_WORLD.T @ np.diag([-1.0, 1, -1])
    rotations[:, 0] = pose[:3, :3].T @ world_from_body
    for shoulder, angle_rad in ((16, -1.3), (17, 1.3)):
        cos, sin = np.cos(angle_rad), np.sin(angle_rad)
        rotations[:, shoulder] = [[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]
    at_origin = PeopleTruth(
        person_ids=np.array(list(places), np.int32),
        rotations=rotations,
        betas=np.linspace(-0.5, 0.5, count * 10, dtype=np.float32).reshape(count, 10),
        expression=np.zeros((count, 10), np.float32),
        head_camera=np.zeros((count, 3), np.float32),
        contacts=np.ones((count, 4), bool),
    )
    _, vertices = posed(at_origin)
    down = -np.array([(points @ pose[:3, :3].T)[:, 2].min() for points in vertices])
    heads = np.array(
        [[*place, height] for place, height in zip(places.values(), down, strict=True)]
    )
    camera = transform_points(invert(pose), heads).astype(np.float32)
    return replace(at_origin, head_camera=camera)


def _rays(camera):
    v, u = np.indices((camera.height_px, camera.width_px))
    ones = np.ones(u.shape)
    return np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, ones], axis=-1)


def _room_depth(pose):
    world = _rays(CAMERA) @ pose[:3, :3].T
    with np.errstate(divide="ignore"):
        floor = np.where(world[..., 2] < -1e-6, -pose[2, 3] / world[..., 2], np.inf)
    wall = np.where(world[..., 0] > 1e-6, (WALL_M - pose[0, 3]) / world[..., 0], np.inf)
    depth = np.minimum(floor, wall)
    return np.where(np.isfinite(depth), depth, 0)


def _draw_people(people, depth, index):
    """Silhouettes as flat as cardboard, at the depth of each head."""
    _, vertices = posed(people)
    for person, points in zip(people.person_ids, vertices, strict=True):
        pixels, z = project(points, CAMERA)
        seen = silhouette(pixels, z, free_body().faces, WIDTH, HEIGHT) & (points[0, 2] < depth)
        depth[seen], index[seen] = points[0, 2], person


@dataclass
class Told:
    """How far the estimates are from the truth."""

    head_shift_m: tuple[float, float, float] = (0, 0, 0)
    """Added to every person's place in the camera frame."""
    scale: float = 1.0
    """Of depth, of the camera's path and of where people are; their size stays."""
    missed: tuple[int, ...] = ()
    """People who are not found."""
    invented: int = 0
    """Copies of the first person, beside the image."""
    turn_rad: float = 0.0
    """Every body is turned to its left by this, about its long axis and its head."""
    lean_rad: float = 0.0
    """Every body leans forward by this."""
    track_of: dict[int, dict[int, int]] | None = None
    """Frame number: person id to track id; otherwise the person's id."""
    failing: tuple[int, ...] = ()
    """Frames on which the network fails."""
    not_finite: tuple[int, ...] = ()
    """People whose body is NaN."""
    stddev_m: float = 0.0
    """Of place, and in rad of orientation, as people themselves say; 0: they say nothing."""


class ToldPipeline:
    """Stands in for the pipeline: knows the truth of every frame by its stamp."""

    def __init__(self, views: list[ViewTruth], told: Told | None = None) -> None:
        self.settings = Settings()
        self.body_model = free_body()
        self.network = SimpleNamespace(device=torch.device("cpu"))
        self._views = {view.stamp_ns: (number, view) for number, view in enumerate(views)}
        self._told = told or Told()
        self.num_resets = 0

    def reset(self, *, keep_scale: bool) -> None:
        assert not keep_scale, "one sequence's scale must not reach the next one"
        self.num_resets += 1

    def step(self, frame: Frame) -> FrameEstimate:
        number, truth = self._views[frame.stamp_ns]
        assert frame.image.shape == truth.image.shape
        if number in self._told.failing:
            raise NonFiniteError("told to fail")
        return estimate(truth, self._told, number)


def estimate(truth: ViewTruth, told: Told | None = None, number: int = 0) -> FrameEstimate:
    """The truth as the network would say it, but for what is told."""
    told = told or Told()
    side = max(truth.image.shape[:2])
    image, geometry = resize_and_crop(truth.image, side)
    assert geometry == fit_geometry(truth.image.shape[1], truth.image.shape[0], side)
    camera = truth.intrinsics
    points = told.scale * _rays(camera) * np.where(truth.depth_m > 0, truth.depth_m, 20)[..., None]
    left, top = geometry.crop_left_px, geometry.crop_top_px
    area = slice(top, top + geometry.height_px), slice(left, left + geometry.width_px)
    pose = truth.world_from_camera.copy()
    pose[:3, 3] *= told.scale
    return FrameEstimate(
        stamp_ns=truth.stamp_ns,
        session=1,
        frame_index=number,
        geometry=geometry,
        image=image,
        points_camera=points[area].astype(np.float32),
        confidence=np.full(image.shape[:2], 5.0, np.float32),
        person_probability=(truth.person_index > 0)[area].astype(np.float32),
        world_from_camera=pose,
        intrinsics=geometry.network_intrinsics(camera),
        estimated_focal_px=geometry.network_intrinsics(camera).fx,
        people=tuple(_told_people(truth, told, number)),
    )


def _told_people(truth, told, number):
    people = _turned(truth.people, told)
    joints, vertices = posed(people)
    tracks = (told.track_of or {}).get(number, {})
    for row, person in enumerate(people.person_ids.tolist()):
        if person in told.missed:
            continue
        shift = (told.scale - 1) * people.head_camera[row] + np.array(told.head_shift_m)
        if person in told.not_finite:
            shift = shift * np.nan
        yield _told_person(people, row, tracks.get(person, person), joints, vertices, shift, told)
    for copy in range(told.invented):
        aside = np.array([50.0 + 5 * copy, 0, 0])
        yield _told_person(people, 0, 900 + copy, joints, vertices, aside, told)


def _turned(people, told):
    turn = Rotation.from_euler("YX", [told.turn_rad, told.lean_rad]).as_matrix()
    rotations = people.rotations.copy()
    rotations[:, 0] = rotations[:, 0] @ turn.astype(np.float32)
    return replace(people, rotations=rotations)


def _told_person(people, row, track, joints, vertices, shift, told):
    head = people.head_camera[row] + shift
    return PersonEstimate(
        track_id=track,
        score=0.9,
        head_px=np.zeros(2, np.float32),
        body=BodyParameters(people.rotations[row], people.betas[row], people.expression[row], head),
        joints_camera=(joints[row] + shift).astype(np.float32),
        vertices_camera=(vertices[row] + shift).astype(np.float32),
        covariance=_told_covariance(told),
    )


def _told_covariance(told):
    return told.stddev_m**2 * np.eye(6, dtype=np.float32).ravel() if told.stddev_m else None


@dataclass
class ToldSequence:
    """Views as a sequence of a benchmark."""

    name: str
    truths: list[ViewTruth]
    group: str = "easy"
    breaks_after: int | None = None
    scheme: FreeBodyScheme | None = None

    def __len__(self) -> int:
        return len(self.truths)

    def views(self):
        scheme = self.scheme or FreeBodyScheme(free_body())
        for number, truth in enumerate(self.truths):
            if number == self.breaks_after:
                raise InputError("the file is damaged")
            yield scheme.true_view(truth)


def evaluated(truths: list[ViewTruth], told: Told | None = None, **options):
    """The evaluation of one sequence by what the pipeline is told."""
    pipeline = ToldPipeline(truths, told)
    scheme = FreeBodyScheme(pipeline.body_model)
    return evaluate([ToldSequence("walk", truths)], pipeline, scheme, **options)
