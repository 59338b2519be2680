"""Chaining a person's steps gives back the way they went."""

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.refine.chain import chain_motions, chained, relative_motions
from tests.refine.walker import FLOOR_M, bench, in_world, walk


def known_way(frames=300):
    """World poses of a person who walks a curve, and of a camera that follows."""
    angle = np.linspace(0, 2.5, frames)
    person = np.tile(np.eye(4), (frames, 1, 1))
    person[:, :3, :3] = Rotation.from_rotvec(np.outer(angle, [0, 1, 0.05])).as_matrix()
    person[:, :3, 3] = np.stack([4 * np.sin(angle), 0.1 * angle, 4 - 4 * np.cos(angle)], axis=1)
    camera = person.copy()
    camera[:, :3, 3] += [0.5, -0.3, -4.0]
    camera[:, :3, :3] = Rotation.from_rotvec(np.outer(angle, [0.1, -0.3, 0.02])).as_matrix()
    return person, camera


def test_a_known_way_is_given_back():
    person, camera = known_way()
    seen = np.linalg.inv(camera) @ person
    motions = relative_motions(seen, np.linalg.inv(camera[:-1]) @ camera[1:])
    way = chained(person[0], motions)
    length_m = np.linalg.norm(np.diff(person[:, :3, 3], axis=0), axis=1).sum()
    assert np.linalg.norm(way[:, :3, 3] - person[:, :3, 3], axis=1).max() < 0.01 * length_m


def test_a_walker_is_chained_to_a_hundredth_of_the_way():
    made = bench()
    track = made.recording.tracks[0]
    root = np.tile(np.eye(3), (len(track.frames), 1, 1))
    result = chain_motions(made.recording, 0, root)
    before, after = (
        in_world(track.joints[:, :1], r.world_from_camera)[:, 0] for r in (made.truth, result)
    )
    length_m = np.linalg.norm(np.diff(before, axis=0), axis=1).sum()
    assert np.linalg.norm(after - before, axis=1).max() < 0.01 * length_m


def test_frames_without_the_person_follow_their_camera():
    times_s = np.arange(120) / 10
    made = bench(people=[walk(times_s, np.array([0.3, FLOOR_M, 3.5]), 0.9)])
    track = made.recording.tracks[0]
    seen = np.arange(20, 80)
    short = type(track)(0, seen, track.joints[seen], track.points[seen], track.parts)
    recording = made.recording.with_tracks((short,))
    root = np.tile(np.eye(3), (len(seen), 1, 1))
    result = chain_motions(recording, 0, root)
    off = result.world_from_camera[:, :3, 3] - recording.world_from_camera[:, :3, 3]
    assert np.linalg.norm(off, axis=1).max() < 0.05
