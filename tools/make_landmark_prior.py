"""Makes ``people/data/landmark_prior.npz``: what the fit of bodies to landmarks knows beforehand.

    human3r synth --split train --difficulty mixed --size 640x480 --seed 700000 --sequences 24 SEQS
    python tools/make_landmark_prior.py SEQS landmark_prior.npz

Poses come from the motion generator without pictures; offsets, spreads and the lean of landmarks
from the landmark network's answers on the sequences, whose true bodies are known.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from human3r_lab.datasets.sample import ViewTruth
from human3r_lab.datasets.sequence_file import SequenceFile, open_folder
from human3r_lab.synth.people import roles
from human3r_lab.synth.people.motion.perform import perform
from human3r_lab.synth.people.physique import random_physique
from human3r_lab.synth.people.space import Space
from human3r_lab.synth.stage import Obstacle, Seat, Stage

from human3r.body import load_body_model, skeleton
from human3r.body.default import default_body_path
from human3r.people.finder import PeopleFinder
from human3r.people.fit.gauss_newton import SWAPPED, LandmarkBody
from human3r.people.fit.rotations import matrices, ray_frames, vectors
from human3r.people.landmarks import PersonLandmarks

_MOTION_SEED, _FRAMES, _RATE_HZ = 77, 12, 3.0
_WIDER, _LEAST_RAD = 1.25, 0.08
"""People do more than the generator: its covariance times the one, plus the other squared."""
_SAME_PERSON = 0.1
"""Median distance of landmarks from true ones, over the region's side, to be that person's."""
_SURE, _VERY_SURE = 0.5, 0.7
_MAX_OFF_M, _MAX_TURN_RAD = 0.3, 0.8
"""Beyond these a person was taken the other way round or for another."""
_VIEW_SIGMAS_M = np.array([0.03, 0.03, 0.09])
_UNUSED_SIGMAS = (0.02, 0.1)


def random_clip(rng: np.random.Generator) -> np.ndarray | None:
    """(frames, 53, 3, 3) of one person who walks, stands, crouches or sits."""
    corner, seat_m = np.full(2, 0.25), rng.uniform(0.4, 0.52)
    place = np.array([0.0, 0.0, seat_m])
    seats = (Seat(place, rng.uniform(-np.pi, np.pi)),)
    stage = Stage(np.full(2, -4.0), np.full(2, 4.0), (Obstacle(-corner, corner, seat_m),), seats)
    times = np.arange(_FRAMES) / _RATE_HZ
    space = Space(stage, float(times[-1]))
    physique = random_physique(rng, is_child=rng.random() < 0.1)
    script = None
    if rng.random() < 0.25:
        script = roles.sit(rng, physique, space, stage.seats[0], changes=0.4)
    if script is None:
        walks = float(rng.choice([0.2, 0.85]))
        script = roles.wander(rng, physique, space, walks=walks, crouches=0.3)
    if script is None:
        return None
    return perform(script, physique, times, rng.uniform(0, 0.03), rng).rotations


def pose_prior(num_clips: int) -> dict[str, np.ndarray]:
    """Mean and whitening of 21 joints' rotation vectors, both sides mirrored."""
    rng = np.random.default_rng(_MOTION_SEED)
    clips = [clip for _ in range(num_clips) if (clip := random_clip(rng)) is not None]
    poses = vectors(np.concatenate(clips)[:, 1:22].astype(np.float64))
    names = skeleton.JOINT_NAMES[:22]
    other = [names.index(_other_side(name)) - 1 for name in names[1:]]
    both = np.concatenate([poses, poses[:, other] * [1, -1, -1]]).reshape(-1, 63)
    covariance = np.cov(both.T) * _WIDER + _LEAST_RAD**2 * np.eye(63)
    return {
        "pose_mean": both.mean(0),
        "pose_whitening": np.linalg.inv(np.linalg.cholesky(covariance)),
    }


def _other_side(name: str) -> str:
    side, _, rest = name.partition("_")
    return {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side, name)


@dataclass(frozen=True)
class Pair:
    """One person's landmarks and true points; rows by ``LandmarkBody.used``."""

    turned: np.ndarray
    """(marks, 3, 3) true rotations of the joints that marks move with, to the camera."""
    view: np.ndarray
    """(3, 3): camera from the axes of a camera that looks at the person."""
    off_image: np.ndarray
    """(marks, 2) metres across the ray, landmark minus true point."""
    side_m: float
    world: np.ndarray
    """(marks, 3) metres about the hips, axes of ``view``, at the true size."""
    true: np.ndarray
    """The same of the true points."""
    seen: np.ndarray
    up_depth_rad: float
    """By how much up leaves the image plane of ``view``."""


def pairs_of(file: SequenceFile, finder: PeopleFinder, body: LandmarkBody) -> Iterator[Pair]:
    """Landmarks of a sequence beside the true bodies they belong to."""
    finder.reset()
    for index in range(len(file)):
        view = file.view(index)
        people = finder(view.image)
        if people and len(view.people.person_ids):
            yield from _pairs_of_view(view, people, body)


def _pairs_of_view(
    view: ViewTruth, people: list[PersonLandmarks], body: LandmarkBody
) -> Iterator[Pair]:
    camera = view.intrinsics
    posed = body.pose(view.people.rotations[:, :22].astype(float), view.people.betas.astype(float))
    places = view.people.head_camera - posed.joints[:, skeleton.HEAD]
    marks = posed.marks[:, : body.num_marks] + places[:, None]
    focal, centre = np.array([camera.fx, camera.fy]), np.array([camera.cx, camera.cy])
    depth = np.maximum(marks[..., 2:], 0.05)
    pixels = marks[..., :2] / depth * focal + centre
    up = view.world_from_camera[2, :3]
    for person in people:
        found = person.pixels[body.used]
        distances = np.median(np.linalg.norm(pixels - found, axis=-1), axis=1)
        j = int(distances.argmin())
        if distances[j] > _SAME_PERSON * person.region.side or marks[j, :, 2].min() < 0.2:
            continue
        hips = (person.pixels[[23, 24]].mean(0) - centre) / focal
        to_view = ray_frames(np.array([*hips, 1.0]))
        true = (marks[j] - marks[j, body.hips].mean(0)) @ to_view
        world = person.world[body.used].astype(float)
        limbs = body.used >= 11
        size = (true[limbs] * world[limbs]).sum() / (world[limbs] ** 2).sum()
        yield Pair(
            turned=posed.rotations[j, body.anchors[: body.num_marks]],
            view=to_view,
            off_image=(found - pixels[j]) / focal * depth[j],
            side_m=person.region.side / camera.fx * float(marks[j, body.hips, 2].mean()),
            world=size * world,
            true=true,
            seen=(person.visibility * person.presence)[body.used],
            up_depth_rad=float(np.arcsin(np.clip(up @ to_view[:, 2], -1, 1))),
        )


def landmark_part(pairs: list[Pair], body: LandmarkBody) -> dict[str, np.ndarray]:
    """Lean, offsets and spreads of landmarks, both sides alike."""
    pairs = [p for p in pairs if np.median(np.linalg.norm(p.world - p.true, axis=1)) < _MAX_OFF_M]
    lean, unknown = leans(pairs)
    straight = [
        p.world @ matrices(np.array([lean[0] + lean[1] * p.up_depth_rad, 0.0, 0.0])).T
        for p in pairs
    ]
    off_world = np.stack([w - p.true for w, p in zip(straight, pairs, strict=True)])
    off_image = np.stack([p.off_image for p in pairs])
    turned = np.stack([p.turned for p in pairs])
    in_view = np.stack([p.view.T @ p.turned for p in pairs])
    seen, sides = np.stack([p.seen for p in pairs]), np.array([p.side_m for p in pairs])
    image_offsets, world_offsets = np.zeros((33, 3)), np.zeros((33, 3))
    for row, landmark in enumerate(body.used):
        sure = seen[:, row] > _SURE
        image_offsets[landmark] = _offset(turned[sure, row, :2], off_image[sure, row], 0.04)
        weighted = in_view[sure, row] / _VIEW_SIGMAS_M[:, None]
        world_offsets[landmark] = _offset(weighted, off_world[sure, row] / _VIEW_SIGMAS_M, 3.0)
    image_offsets, world_offsets = _alike(image_offsets), _alike(world_offsets)
    off_image -= np.einsum("pmab,mb->pma", turned, image_offsets[body.used])[..., :2]
    beside = np.einsum("pmab,mb->pma", in_view, world_offsets[body.used])
    off_world -= beside - beside[:, body.hips].mean(1, keepdims=True)
    pixel_sigmas = np.full(33, _UNUSED_SIGMAS[0])
    world_sigmas = np.full((33, 3), _UNUSED_SIGMAS[1])
    for row, landmark in enumerate(body.used):
        sure = seen[:, row] > _VERY_SURE
        pixel_sigmas[landmark] = _spread(off_image[sure, row] / sides[sure, None]).mean()
        world_sigmas[landmark] = _spread(off_world[sure, row])
    order = list(SWAPPED)
    return {
        "image_offsets_m": image_offsets,
        "world_offsets_m": world_offsets,
        "pixel_sigmas": (pixel_sigmas + pixel_sigmas[order]) / 2,
        "world_sigmas_m": (world_sigmas + world_sigmas[order]) / 2,
        "lean": lean,
        "lean_unknown_up": unknown,
    }


def leans(pairs: list[Pair]) -> tuple[np.ndarray, np.ndarray]:
    """(constant, slope) of the turn about x that brings world landmarks to the true points.

    Against the angle by which up leaves the image plane, and against that of a level camera.
    """
    turns = np.array([_best_turn(pair) for pair in pairs])
    known = np.array([pair.up_depth_rad for pair in pairs])
    level = np.array([np.arcsin(-pair.view[1, 2]) for pair in pairs])
    near = np.abs(turns).max(1) < _MAX_TURN_RAD
    return tuple(np.polyfit(angle[near], turns[near, 0], 1)[::-1] for angle in (known, level))


def _best_turn(pair: Pair) -> np.ndarray:
    weights = pair.seen[:, None] + 0.05
    world, true = (
        points - (weights * points).sum(0) / weights.sum() for points in (pair.world, pair.true)
    )
    u, _, vt = np.linalg.svd((weights * true).T @ world)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return vectors((u * signs) @ vt)


def _offset(rows: np.ndarray, off: np.ndarray, limit: float) -> np.ndarray:
    """(3,) in the joint's axes, from rows (n, k, 3) and what is seen of it (n, k); robust."""
    offset = np.zeros(3)
    for _ in range(10):
        weight = 1 / (1 + (np.linalg.norm(off - rows @ offset, axis=1) / limit) ** 2)
        normal = np.einsum("n,nka,nkb->ab", weight, rows, rows) + 1e-3 * len(rows) * np.eye(3)
        offset = np.linalg.solve(normal, np.einsum("n,nka,nk->a", weight, rows, off))
    return offset


def _alike(offsets: np.ndarray) -> np.ndarray:
    """Both sides' mean: the body is symmetric."""
    return (offsets + offsets[list(SWAPPED)] * [-1, 1, 1]) / 2


def _spread(values: np.ndarray) -> np.ndarray:
    return 1.4826 * np.median(np.abs(values), axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sequences", type=Path, help="folder by human3r synth, split train")
    parser.add_argument("out", type=Path, help="the npz file to write")
    parser.add_argument("--clips", type=int, default=1500, help="of motion, for the pose prior")
    args = parser.parse_args()
    body, finder, pairs = LandmarkBody(load_body_model(default_body_path())), PeopleFinder(), []
    for file in open_folder(args.sequences):
        pairs += pairs_of(file, finder, body)
        print(f"{file.name}: {len(pairs)} people so far", flush=True)
    np.savez(args.out, **pose_prior(args.clips), **landmark_part(pairs, body))


if __name__ == "__main__":
    main()
