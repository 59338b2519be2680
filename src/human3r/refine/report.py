"""What refinement changed, measured without knowing the truth: before and after side by side."""

from typing import Any

import numpy as np

from human3r.refine.acceptance import Verdict
from human3r.refine.limbs.people import Stillness
from human3r.refine.outcome import Refined
from human3r.refine.recording import FEET, Recording
from human3r.refine.surface import Surface, take_samples

_BODY_JOINTS = 22


def report_of(before: Recording, refined: Refined, missing: tuple[str, ...]) -> dict[str, Any]:
    """Sliding, distance to the scene and jitter of each person, scales and contacts.

    Both are measured at the contacts that the refined recording has, so a contact that is false
    counts in both.
    """
    after = refined.recording
    people = {}
    for number, track in enumerate(after.tracks):
        found = refined.contacts[number]
        steady = ~found.is_moving
        people[str(track.track_id)] = {
            "frames": len(track.frames),
            "contacts": int(steady.sum()),
            "contacts_on_moving_supports": int(found.is_moving.sum()),
            "mean_confidence": _rounded(found.confidence[steady].mean() if steady.any() else 0),
            "before": _measures(before, np.ones(len(refined.frame_scale)), refined, number),
            "after": _measures(after, refined.frame_scale, refined, number),
            "limbs": _limbs(refined.limbs[number] if refined.limbs else None),
        }
    return {
        "made_by": "human3r refine",
        "has_changed": refined.has_changed,
        "scales": [_rounded(value) for value in np.exp(refined.log_scale)],
        "steps": refined.steps,
        "missing": list(missing),
        "held_out": _held_out(after, refined.verdict),
        "people": people,
    }


def _held_out(recording: Recording, verdict: Verdict | None) -> dict[str, Any] | None:
    """What decided: people by number, features in standard deviations; None: nothing was tried."""
    if verdict is None:
        return None
    features = (verdict.features_before, verdict.features_after)
    return {
        "is_accepted": verdict.is_accepted,
        "why": verdict.why,
        "features": None if np.isnan(features).any() else [_rounded(value) for value in features],
        "people": {
            str(recording.tracks[person].track_id): {
                "sole_to_surface_mm": [_mm(one.off_mm) for one in pair],
                "sliding_mm": [_mm(one.sliding_mm) for one in pair],
            }
            for person, pair in (
                (person, (verdict.before[person], verdict.after[person]))
                for person in verdict.before
            )
        },
        "unmoved": [recording.tracks[person].track_id for person in verdict.unmoved],
    }


def _limbs(judged: Stillness | None) -> dict[str, Any] | None:
    """How limbs were judged; None where they are not known."""
    if judged is None:
        return None
    return {
        "has_changed": judged.is_accepted,
        "stances": judged.stances,
        "held_out_sliding_mm_per_frame": [_mm(judged.before_mm), _mm(judged.after_mm)],
    }


def _mm(value: float) -> float | None:
    return None if np.isnan(value) else _rounded(value)


def _measures(
    recording: Recording, frame_scale: np.ndarray, refined: Refined, person: int
) -> dict[str, float | None]:
    keys, rows, found = refined.keys, refined.rows, refined.contacts[person]
    pose = recording.world_from_camera[keys]
    track = recording.tracks[person]
    mine = np.flatnonzero(rows.person == person)
    key, own = rows.key[mine], rows.track_row[mine]
    points = _world(track.points[own], pose[key])
    feet = ~found.is_moving & np.isin(track.parts[found.point], FEET)
    order = np.flatnonzero(feet)[np.lexsort((found.row[feet], found.episode[feet]))]
    row, point, episode = found.row[order], found.point[order], found.episode[order]
    same = (np.diff(episode) == 0) & (np.diff(row) == 1)
    steps = points[row[1:][same], point[1:][same]] - points[row[:-1][same], point[:-1][same]]
    samples = take_samples(recording, keys)
    surface = Surface(samples, pose[:, :3, :3], pose[:, :3, 3], frame_scale[keys])
    planes = surface.planes(points[row, point], key[row])
    distance = planes.distance[planes.is_known]
    joints = _world(track.joints[own, :_BODY_JOINTS], pose[key])
    return {
        "sliding_mm_per_key_frame": _mean(1e3 * np.linalg.norm(steps, axis=1)),
        "sole_to_surface_mm": _mean(1e3 * np.abs(distance)),
        "deepest_penetration_mm": _rounded(-1e3 * min(distance.min(), 0))
        if len(distance)
        else None,
        "jitter_10m_s3": _jitter(joints, recording.times_s[keys[key]]),
        "path_m": _rounded(np.linalg.norm(np.diff(joints[:, 0], axis=0), axis=1).sum()),
    }


def _world(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    return np.einsum("nij,npj->npi", pose[:, :3, :3], points) + pose[:, None, :3, 3]


def _jitter(joints: np.ndarray, times_s: np.ndarray) -> float | None:
    """Third difference of joints over time, in 10 m/s^3; None with fewer than four rows."""
    if len(joints) < 4:
        return None
    step_s = float(np.median(np.diff(times_s)))
    even = (np.abs(np.diff(times_s) - step_s) < 0.3 * step_s).astype(int)
    whole = np.convolve(even, np.ones(3, int), "valid") == 3
    third = np.linalg.norm(np.diff(joints, n=3, axis=0), axis=-1).mean(axis=1) / step_s**3 / 10
    return _mean(third[whole])


def _mean(values: np.ndarray) -> float | None:
    return _rounded(values.mean()) if len(values) else None


def _rounded(value: Any) -> float:
    return round(float(value), 4)
