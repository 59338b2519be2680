"""Skinning: the formula, and bits that do not depend on threads."""

import os
import subprocess
import sys

import numpy as np
from human3r_lab.synth.people.kinematics import skin, skin_transforms
from human3r_lab.synth.people.physique import physique_of
from human3r_lab.synth.people.template import body_template
from scipy.spatial.transform import Rotation

PARTS = (slice(0, 1), slice(5, 6000), slice(6000, None), slice(None, None, 2))


def posed_transforms() -> np.ndarray:
    """(55, 3, 4) of a body with every joint bent."""
    turns = np.random.default_rng(0).normal(0, 0.4, (53, 3))
    rotations = Rotation.from_rotvec(turns).as_matrix()[None]
    return skin_transforms(rotations, physique_of(np.zeros(10)).joints_m, np.zeros((1, 3)))[0]


def tell_difference() -> None:
    """How far vertices move when fewer are posed with them; for a process of its own."""
    template, transforms = body_template(), posed_transforms()
    whole = skin(template.vertices_m, template.skin_weights, transforms)
    parts = [
        skin(template.vertices_m[part], template.skin_weights[part], transforms) for part in PARTS
    ]
    print(max(np.abs(whole[p] - q).max() for p, q in zip(PARTS, parts, strict=True)))


def test_skin_is_the_weighted_sum_of_what_the_joints_do():
    template, transforms = body_template(), posed_transforms()
    posed = skin(template.vertices_m, template.skin_weights, transforms)
    extended = np.c_[template.vertices_m, np.ones(len(posed))]
    expected = np.einsum("vj,jab,vb->va", template.weights, transforms, extended, optimize=True)
    assert posed.dtype == np.float32
    assert np.ptp(posed, axis=0).min() > 0.3
    np.testing.assert_allclose(posed, expected, atol=2e-6)


def test_a_vertex_has_the_same_bits_whatever_is_posed_with_it():
    """BLAS divides the rows among its threads and adds up differently in each share."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    said = subprocess.run(
        [sys.executable, "-c", f"from {__name__} import tell_difference as t; t()"],
        env=os.environ | dict.fromkeys(names, "2"),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    ).stdout
    assert float(said) == 0.0
