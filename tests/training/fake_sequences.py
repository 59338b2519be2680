"""Small sequences with known truth: bodies as splatted vertices in a room of three planes."""

from pathlib import Path

import numpy as np
import torch
from human3r_lab.datasets import PeopleTruth, ViewTruth, write_sequence

from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.geometry import invert, matrix_from_rotation_vector
from human3r.types import Intrinsics

ROOM_M = 6.0
# World z is up, the body's y is up: world_from_body of somebody who faces +x... of the camera.
UPRIGHT = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float64)


def write_folder(
    folder: Path, sequences: int = 2, views: int = 8, size_px: tuple[int, int] = (128, 96)
) -> Path:
    """A folder of sequence files."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(sequences):
        metadata = {"name": f"fake-{seed}", "seed": seed, "split": "train", "rate_hz": 6}
        write_sequence(
            folder / f"fake-{seed:03d}.safetensors", make_views(seed, views, size_px), metadata
        )
    return folder


def make_views(
    seed: int, count: int = 8, size_px: tuple[int, int] = (128, 96), people: int = 2
) -> list[ViewTruth]:
    """The views of one sequence: a camera that turns, people who turn and wave."""
    rng = np.random.default_rng(seed)
    width, height = size_px
    focal = width * rng.uniform(0.8, 1.1)
    camera = Intrinsics(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)
    cast = [_Person(rng, number, people) for number in range(people)]
    body = load_body_model(default_body_path())
    return [_view(body, cast, camera, i, rng.uniform(-0.02, 0.02)) for i in range(count)]


class _Person:
    def __init__(self, rng: np.random.Generator, number: int, people: int) -> None:
        self.id = number + 1
        self.place = np.array([(number - (people - 1) / 2) * 1.2, rng.uniform(2.5, 4.0)])
        self.heading = rng.uniform(-1, 1)
        self.betas = rng.normal(0, 0.7, 10).astype(np.float32)
        self.expression = rng.normal(0, 0.5, 10).astype(np.float32)
        self.color = rng.uniform(60, 255, 3)
        self.pose = rng.normal(0, 0.12, (53, 3))
        self.pose[0] = 0
        self.pose[[16, 17], 2] += (-1.1, 1.1)  # Arms down.

    def rotations(self, i: int) -> np.ndarray:
        pose = self.pose.copy()
        pose[16] += (0, 0, 0.2 * np.sin(i))
        matrices = matrix_from_rotation_vector(torch.from_numpy(pose)).numpy()
        turn = self.heading + 0.15 * i
        spin = np.array(
            [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
        )
        matrices[0] = UPRIGHT @ spin
        return matrices


def _view(body, cast, camera: Intrinsics, i: int, sway: float) -> ViewTruth:
    turn = 0.03 * i + sway
    right = np.array([np.cos(turn), np.sin(turn), 0])
    forward = np.array([-np.sin(turn), np.cos(turn), 0])
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = np.stack((right, [0, 0, -1], forward), axis=1)
    world_from_camera[:3, 3] = (0.05 * i, 0, 1.3)
    camera_from_world = invert(world_from_camera)
    depth, image = _room(camera, world_from_camera)
    index = np.zeros(depth.shape, np.uint8)
    rows = []
    for person in cast:
        rotations = person.rotations(i)
        head = np.array([*person.place, 1.5])
        mesh = body(
            torch.from_numpy(rotations[None]).float(),
            torch.from_numpy(person.betas[None]),
            torch.from_numpy(person.expression[None]),
            torch.from_numpy(head[None]).float(),
        )
        vertices = mesh.vertices[0].numpy()
        lift = -vertices[:, 2].min()
        vertices = vertices + np.array([0, 0, lift], np.float32)
        head[2] += lift
        in_camera = vertices @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
        _splat(image, depth, index, in_camera, camera, person)
        rotations[0] = camera_from_world[:3, :3] @ rotations[0]
        rows.append(
            (person, rotations, camera_from_world[:3, :3] @ head + camera_from_world[:3, 3])
        )
    people = PeopleTruth(
        person_ids=np.array([person.id for person, *_ in rows], np.int32),
        rotations=np.stack([rotations for _, rotations, _ in rows]).astype(np.float32),
        betas=np.stack([person.betas for person, *_ in rows]),
        expression=np.stack([person.expression for person, *_ in rows]),
        head_camera=np.stack([head for *_, head in rows]).astype(np.float32),
        contacts=np.ones((len(rows), 4), bool),
    )
    return ViewTruth(
        image, depth.astype(np.float32), index, camera, world_from_camera, people, i * 10**8
    )


def _room(camera: Intrinsics, world_from_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth and a chequered image of a floor and a far wall; sky above the wall."""
    v, u = np.mgrid[: camera.height_px, : camera.width_px]
    rays = np.stack(
        ((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)), -1
    )
    rays = rays @ world_from_camera[:3, :3].T
    origin = world_from_camera[:3, 3]
    with np.errstate(divide="ignore"):
        floor = np.where(rays[..., 2] < 0, -origin[2] / rays[..., 2], np.inf)
        wall = np.where(rays[..., 1] > 0, (ROOM_M - origin[1]) / rays[..., 1], np.inf)
    depth = np.minimum(floor, wall)
    points = origin + rays * np.where(np.isfinite(depth), depth, 0)[..., None]
    depth[points[..., 2] > 2.6] = 0
    tiles = np.floor(points * 1.5).sum(-1).astype(int) % 2
    base = np.where(floor < wall, 90, 150) + 60 * tiles
    image = np.repeat(base[..., None], 3, -1)
    image[depth == 0] = (120, 170, 230)
    return depth, image.astype(np.uint8)


def _splat(image, depth, index, vertices, camera: Intrinsics, person: _Person) -> None:
    u = np.round(vertices[:, 0] / vertices[:, 2] * camera.fx + camera.cx).astype(int)
    v = np.round(vertices[:, 1] / vertices[:, 2] * camera.fy + camera.cy).astype(int)
    inside = (u >= 0) & (v >= 0) & (u < camera.width_px) & (v < camera.height_px)
    # Far to near: where several vertices meet in one pixel, the last one stays.
    order = np.argsort(-vertices[:, 2])
    order = order[inside[order]]
    u, v, z = u[order], v[order], vertices[order, 2]
    seen = (depth[v, u] == 0) | (z < depth[v, u])
    u, v, z, order = u[seen], v[seen], z[seen], order[seen]
    depth[v, u], index[v, u] = z, person.id
    shade = 0.7 + 0.3 * np.sin(20 * vertices[order, 1])
    image[v, u] = person.color * shade[:, None]
