"""One synthetic sequence: scenery, people, camera, light, and the truth about all of them.

Everything is drawn from (split, difficulty, seed): the same three give the same bits on the same
machine, and no two splits share a room, texture, body, garment or motion.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from human3r_lab.datasets.sample import PeopleTruth, ViewTruth
from human3r_lab.synth.cameras import Shot, choose_path, choose_room_cameras
from human3r_lab.synth.lots import make_lot
from human3r_lab.synth.mesh import Mesh
from human3r_lab.synth.orders import DIFFICULTIES, SPLITS, VERSION, Order
from human3r_lab.synth.people import Performer, make_cast
from human3r_lab.synth.photo import Photographer
from human3r_lab.synth.renderer import Renderer
from human3r_lab.synth.rooms import make_room
from human3r_lab.synth.scenery import Scenery

_HEAD_IN_FRONT_M = 0.05
_POINT_STEP = 61
"""Every so many vertices stand for a person when a camera is chosen."""


def render_sequence(
    seed: int,
    *,
    split: str,
    difficulty: str,
    frames: int = 24,
    rate_hz: float = 6.0,
    width_px: int = 224,
    height_px: int = 160,
    cameras: int = 1,
    camera: int = 0,
) -> Iterator[ViewTruth]:
    """Draw a sequence frame by frame.

    Args:
        seed: not negative; the number of the sequence in its split.
        split: one of ``SPLITS``.
        difficulty: one of ``DIFFICULTIES``.
        frames: at least one.
        rate_hz: frames per second.
        width_px: of the images.
        height_px: of the images.
        cameras: how many look at the scene; several stand still around it.
        camera: which of them; all see the same people at the same times in one world.

    Raises:
        InputError: an argument is out of range.
    """
    order = Order(seed, split, difficulty, frames, rate_hz, width_px, height_px, cameras, camera)
    order.check()
    is_easy = difficulty == "easy"
    generators = _generators(order)
    scene_rng, cast_rng, camera_rng, photo_rng = generators[:4]
    room_rngs = generators[4:]
    scenery = _make_scenery(scene_rng, is_easy)
    cast = make_cast(
        cast_rng,
        scenery.stage,
        frames=frames,
        rate_hz=rate_hz,
        people=_count_people(cast_rng, is_easy),
        difficulty=difficulty,
    )
    renderer, texture_offsets = _set_up(scenery, cast)
    meshes = [
        [
            _moved(person.mesh(i), offset)
            for person, offset in zip(cast, texture_offsets, strict=True)
        ]
        for i in range(frames)
    ]
    shot = Shot(
        scenery.stage,
        [
            np.stack([meshes[i][p].vertices_m[::_POINT_STEP] for i in range(frames)])
            for p in range(len(cast))
        ],
        np.arange(frames) / rate_hz,
        width_px,
        height_px,
        is_easy,
        renderer.scenery_depth,
    )
    if cameras == 1:
        path = choose_path(camera_rng, shot)
    else:
        path = choose_room_cameras(room_rngs[::2][: camera + 1], shot)[camera]
        photo_rng = room_rngs[1::2][camera]
    photographer = Photographer(photo_rng, is_easy)
    for i in range(frames):
        pose = path.world_from_camera[i]
        picture = renderer.render(path.intrinsics, pose, meshes[i])
        yield ViewTruth(
            image=photographer.develop(picture.color),
            depth_m=picture.depth_m,
            person_index=picture.person_index,
            intrinsics=path.intrinsics,
            world_from_camera=pose,
            people=_people_truth(cast, i, pose),
            stamp_ns=round(i * 1e9 / rate_hz),
        )


def _generators(order: Order) -> list[np.random.Generator]:
    """Independent streams, so that a change to one part leaves the others as they were.

    The scenery's, the cast's, the camera's and the photographer's, then the last two again for
    each of several cameras.
    """
    root = np.random.SeedSequence(
        (VERSION, SPLITS.index(order.split), DIFFICULTIES.index(order.difficulty), order.seed)
    )
    count = 4 + (2 * order.cameras if order.cameras > 1 else 0)
    return [np.random.default_rng(child) for child in root.spawn(count)]


def _make_scenery(rng: np.random.Generator, is_easy: bool) -> Scenery:
    make = make_room if rng.random() < 0.65 else make_lot
    return make(rng, is_roomy=is_easy)


def _count_people(rng: np.random.Generator, is_easy: bool) -> int:
    if is_easy:
        return int(rng.integers(1, 3))
    return int(rng.choice([1, 2, 3, 4, 5, 6], p=[0.15, 0.25, 0.25, 0.17, 0.1, 0.08]))


def _set_up(scenery: Scenery, cast: Sequence[Performer]) -> tuple[Renderer, list[int]]:
    textures, offsets = list(scenery.textures), []
    for person in cast:
        offsets.append(len(textures))
        textures.extend(person.textures)
    renderer = Renderer(
        scenery.meshes,
        textures,
        scenery.lighting,
        scenery.bounds_m,
        scenery.casts_shadow,
        scenery.cloud_texture,
    )
    return renderer, offsets


def _moved(mesh: Mesh, texture_offset: int) -> Mesh:
    return replace(mesh, face_texture=mesh.face_texture + np.int32(texture_offset))


def _people_truth(cast: Sequence[Performer], i: int, world_from_camera: np.ndarray) -> PeopleTruth:
    """Who has the head in front of the camera, in the camera's frame."""
    camera_from_world = np.linalg.inv(world_from_camera)
    turn = camera_from_world[:3, :3]
    heads = np.stack([person.head_world[i] for person in cast]) @ turn.T
    heads += camera_from_world[:3, 3]
    in_front = heads[:, 2] > _HEAD_IN_FRONT_M
    seen = [person for person, is_in in zip(cast, in_front, strict=True) if is_in]
    if not seen:
        return PeopleTruth.nobody()
    rotations = np.stack([person.rotations[i] for person in seen]).astype(np.float32)
    rotations[:, 0] = turn @ rotations[:, 0].astype(np.float64)
    return PeopleTruth(
        person_ids=np.array([person.person_id for person in seen], np.int32),
        rotations=rotations,
        betas=np.stack([person.betas for person in seen]).astype(np.float32),
        expression=np.stack([person.expression[i] for person in seen]).astype(np.float32),
        head_camera=heads[in_front].astype(np.float32),
        contacts=np.stack([person.contacts[i] for person in seen]),
    )
