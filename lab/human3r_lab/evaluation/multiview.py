"""Errors of people fused from several views, against the best single camera and other fusions.

W is the mean joint error in the world as it is, GA after one similarity for all people in a frame,
PA after one for each person; metres. Source: the metrics of HSfM as CHROMM (arXiv 2603.12789) uses
them, except that W needs no alignment here, because the cameras are calibrated.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from human3r.errors import InputError
from human3r.geometry import transform_points
from human3r.multiview.fuser import Fuser, MultiviewEstimate
from human3r.multiview.settings import POSITIONS, FusionSettings
from human3r.multiview.view import ViewPeople, view_from_estimate
from human3r.pipeline import Pipeline
from human3r.types import FrameEstimate
from human3r_lab.datasets import SequenceFile
from human3r_lab.evaluation.alignment import align_similarity
from human3r_lab.evaluation.matching import match_people
from human3r_lab.evaluation.truth import FreeBodyScheme, TrueView, project_px

METHODS = ("best camera", "mean", "triangulation", "weighted")
"""What is compared; the last three are values of ``FusionSettings.position``."""
_JOINTS = 22


def scenes(files: Sequence[SequenceFile]) -> dict[str, list[SequenceFile]]:
    """Files of the same scene by its name, cameras in their order.

    Raises:
        InputError: none has several cameras, or one of them is missing.
    """
    found: dict[str, list[SequenceFile]] = defaultdict(list)
    for file in files:
        if file.metadata.get("cameras", 1) > 1:
            found[str(file.metadata["scene"])].append(file)
    for name, views in found.items():
        expected = int(views[0].metadata["cameras"])
        if len(views) != expected or len({len(file) for file in views}) > 1:
            raise InputError(
                f"{name}: has {len(views)} cameras of {sorted({len(f) for f in views})} frames; "
                f"expected {expected} of one length. Run the same `human3r synth` again."
            )
        views.sort(key=lambda file: int(file.metadata["camera"]))
    if not found:
        raise InputError(
            "no scene with several cameras in the folder; expected some. Make them with "
            "`human3r synth FOLDER --cameras 3`."
        )
    return dict(sorted(found.items()))


@dataclass
class SceneErrors:
    """What is counted in one scene."""

    w: dict[str, dict[tuple[int, int], float]] = field(default_factory=lambda: defaultdict(dict))
    """By method or camera, then frame and person: mean joint error in the world, metres."""
    ga: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    pa: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    pairs_right: int = 0
    pairs_found: int = 0
    pairs_true: int = 0
    switches: int = 0
    """Frames in which a true person's number is not that of the frame before."""
    numbers: int = 0
    troubles: set[str] = field(default_factory=set)


def evaluate_scene(
    files: Sequence[SequenceFile],
    pipelines: Sequence[Pipeline],
    scheme: FreeBodyScheme,
    settings: FusionSettings,
    max_frames: int = 0,
) -> Iterator[SceneErrors]:
    """The errors so far, after every frame of a scene.

    Args:
        files: the cameras' sequences.
        pipelines: one for each, at their beginning.
        scheme: of the truth.
        settings: but for ``position``, which is each in turn.
        max_frames: the first ones; 0: all.
    """
    parents = pipelines[0].body_model.joint_parents
    fusers = {name: Fuser(parents, replace(settings, position=name)) for name in POSITIONS}
    names = [f"camera{i}" for i in range(len(files))]
    errors, last = SceneErrors(), {}
    for index in range(min(len(files[0]), max_frames or len(files[0]))):
        truths = [scheme.true_view(file.view(index)) for file in files]
        views, true_of = [], {}
        for name, truth, pipeline in zip(names, truths, pipelines, strict=True):
            frame = replace(truth.frame, intrinsics=truth.intrinsics, frame_id=name)
            estimate = pipeline.step(frame)
            views.append(view_from_estimate(name, estimate, _pose(truth)))
            true_of.update(_matched(name, estimate, truth))
        joints = _true_joints(truths)
        _count_cameras(errors, index, views, true_of, joints)
        for method, fuser in fusers.items():
            fused = fuser.step(views)
            _count_fused(errors, method, index, fused, true_of, joints)
            if method == "weighted":
                _count_pairs(errors, fused, true_of)
                _count_switches(errors, fused, true_of, last)
                errors.troubles |= {h.trouble for h in fused.health.values() if h.trouble}
        yield errors


def _pose(truth: TrueView) -> np.ndarray:
    assert truth.world_from_camera is not None
    return truth.world_from_camera


def _true_joints(truths: Sequence[TrueView]) -> dict[int, np.ndarray]:
    """Joints (22, 3) in the world of all who should be found by at least one camera."""
    found = {}
    for truth in truths:
        people = truth.people
        assert people is not None
        for person, joints, counts in zip(
            people.ids.tolist(), people.bodies.joints, people.is_counted, strict=True
        ):
            if counts:
                found[person] = transform_points(_pose(truth), joints.astype(float))
    return found


def _matched(name: str, estimate: FrameEstimate, truth: TrueView) -> dict[tuple[str, int], int]:
    """True person of each measured one, by view and number."""
    people, camera = truth.people, truth.intrinsics
    measured = [one for one in estimate.tracked if one.is_measured]
    if not measured or people is None or camera is None or not len(people):
        return {}
    joints = np.stack([one.person.joints_camera[:_JOINTS] for one in measured])
    matches = match_people(project_px(joints, camera), project_px(people.bodies.joints, camera))
    return {(name, measured[i].number): int(people.ids[j]) for i, j in matches.pairs}


def _error_m(joints: np.ndarray, true: np.ndarray) -> float:
    return float(np.linalg.norm(joints[:_JOINTS] - true, axis=-1).mean())


def _count_cameras(
    errors: SceneErrors,
    index: int,
    views: Sequence[ViewPeople],
    true_of: Mapping[tuple[str, int], int],
    joints: Mapping[int, np.ndarray],
) -> None:
    for view in views:
        found = {
            true_of[view.view, int(number)]: world
            for number, world in zip(view.numbers, view.joints_world, strict=True)
            if true_of.get((view.view, int(number))) in joints
        }
        _count(errors, view.view, index, found, joints)
    seen_by: dict[int, int] = defaultdict(int)
    for (_, _), person in true_of.items():
        seen_by[person] += 1
    errors.pairs_true += sum(n * (n - 1) // 2 for n in seen_by.values())


def _count_fused(
    errors: SceneErrors,
    method: str,
    index: int,
    fused: MultiviewEstimate,
    true_of: Mapping[tuple[str, int], int],
    joints: Mapping[int, np.ndarray],
) -> None:
    found: dict[int, np.ndarray] = {}
    for person in fused.people:
        true = _most(true_of[m] for m in person.members if m in true_of)
        if true in joints and true not in found:
            found[true] = person.joints_world
    _count(errors, method, index, found, joints)


def _count(
    errors: SceneErrors,
    name: str,
    index: int,
    found: Mapping[int, np.ndarray],
    joints: Mapping[int, np.ndarray],
) -> None:
    for person, world in found.items():
        errors.w[name][index, person] = _error_m(world, joints[person])
        aligned = align_similarity(world[:_JOINTS], joints[person]).apply(world[:_JOINTS])
        errors.pa[name].append(_error_m(aligned, joints[person]))
    if found:
        ours = np.concatenate([found[person][:_JOINTS] for person in found])
        true = np.concatenate([joints[person] for person in found])
        aligned = align_similarity(ours, true).apply(ours)
        errors.ga[name].append(float(np.linalg.norm(aligned - true, axis=-1).mean()))


def _count_pairs(
    errors: SceneErrors, fused: MultiviewEstimate, true_of: Mapping[tuple[str, int], int]
) -> None:
    for person in fused.people:
        members = [member for member in person.members if member in true_of]
        for a, b in combinations(members, 2):
            errors.pairs_found += 1
            errors.pairs_right += true_of[a] == true_of[b]


def _count_switches(
    errors: SceneErrors,
    fused: MultiviewEstimate,
    true_of: Mapping[tuple[str, int], int],
    last: dict[int, int],
) -> None:
    for person in fused.people:
        true = _most(true_of[m] for m in person.members if m in true_of)
        if true is None:
            continue
        errors.numbers += 1
        errors.switches += last.get(true, person.number) != person.number
        last[true] = person.number


def _most(persons: Iterator[int]) -> int | None:
    counts: dict[int, int] = defaultdict(int)
    for person in persons:
        counts[person] += 1
    return max(counts, key=lambda person: (counts[person], -person)) if counts else None


def summary(scene: SceneErrors) -> dict[str, Any]:
    """Numbers of one scene: per method W, GA, PA; identities.

    The best camera is, for every person, the one with the least mean error in the end, which
    nobody knows beforehand. Methods are compared with it on the frames in which it saw them.
    """
    cameras = sorted(name for name in scene.w if name.startswith("camera"))
    persons = {person for name in cameras for _, person in scene.w[name]}
    best: dict[tuple[int, int], float] = {}
    for person in persons:
        by_camera = {
            name: {key: e for key, e in scene.w[name].items() if key[1] == person}
            for name in cameras
        }
        most = max(map(len, by_camera.values()))
        seen = [rows for rows in by_camera.values() if len(rows) >= 0.5 * most]
        best.update(min(seen, key=lambda rows: float(np.mean(list(rows.values())))))
    methods = {"best camera": best, **{name: scene.w[name] for name in POSITIONS}}
    shared = [key for key in best if all(key in rows for rows in methods.values())]
    numbers: dict[str, Any] = {
        "w_m": {name: _mean([rows[key] for key in shared]) for name, rows in methods.items()},
        "w_all_m": {name: _mean(list(scene.w[name].values())) for name in (*cameras, *POSITIONS)},
        "ga_m": {name: _mean(scene.ga[name]) for name in (*cameras, *POSITIONS)},
        "pa_m": {name: _mean(scene.pa[name]) for name in (*cameras, *POSITIONS)},
        "instances": len(shared),
        "id_precision": scene.pairs_right / scene.pairs_found if scene.pairs_found else None,
        "id_recall": scene.pairs_right / scene.pairs_true if scene.pairs_true else None,
        "id_switches": scene.switches,
        "troubles": sorted(scene.troubles),
    }
    return numbers


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def overall(scenes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Means over scenes, each counting by its instances; the gain over the best camera."""
    found: dict[str, Any] = {}
    weights = [scene["instances"] for scene in scenes.values()]
    for name in METHODS:
        values = [scene["w_m"][name] for scene in scenes.values()]
        known = [(v, w) for v, w in zip(values, weights, strict=True) if v is not None and w]
        if known:
            errors_m, counts = zip(*known, strict=True)
            found[name] = float(np.average(errors_m, weights=counts))
    best, ours = found.get("best camera"), found.get("weighted")
    return {
        "w_m": found,
        "gain_over_best_camera": 1 - ours / best if ours is not None and best else None,
    }
