"""Clothes, hair and skin: everybody is covered, and the meshes can be drawn."""

import numpy as np
import pytest
from human3r_lab.synth.people.looks import coverage
from human3r_lab.synth.people.looks.anatomy import HEAD, TORSO, anatomy
from human3r_lab.synth.people.looks.dressed import dress
from human3r_lab.synth.people.looks.face import FACE_REACH_M, SKIN_TONES, face_texture, face_uv
from human3r_lab.synth.people.looks.piece import loft
from human3r_lab.synth.people.looks.section import extent_at, joint_weights
from human3r_lab.synth.people.looks.shoes import ShoeCut, shoe
from human3r_lab.synth.people.looks.skirt import SkirtCut, skirt
from human3r_lab.synth.people.looks.surface import cut, vertex_normals
from human3r_lab.synth.people.motion.ground import Curve, GroundPlanner
from human3r_lab.synth.people.motion.perform import perform
from human3r_lab.synth.people.motion.script import Script
from human3r_lab.synth.people.performer import Performer
from human3r_lab.synth.people.physique import physique_of, random_physique
from human3r_lab.synth.people.template import JOINT, body_template
from scipy.spatial import cKDTree

SEEDS = range(12)
MEAN = physique_of(np.zeros(10))


def walker(seed: int) -> Performer:
    """Somebody in mid-stride, two frames."""
    rng = np.random.default_rng([7, seed])
    physique = random_physique(rng, is_child=seed % 4 == 3)
    dressed = dress(rng, physique)
    planner = GroundPlanner(np.zeros(2), 0.4, physique.stature_m, 0.1, rng)
    planner.walk(Curve.through(np.array([[0.0, 0.0], [1.5, 0.6], [3.0, 1.0]])), 1.0)
    script, times = Script(planner.finish()), np.array([1.2, 1.45])
    performance = perform(script, physique, times, dressed.sole_m, rng)
    return Performer(3, physique, dressed, performance, np.zeros((2, 10), np.float32))


@pytest.fixture(scope="module")
def walkers() -> list[Performer]:
    return [walker(seed) for seed in SEEDS]


def test_mesh_can_be_drawn(walkers):
    for performer in walkers:
        mesh = performer.mesh(0)
        assert mesh.vertices_m.dtype == np.float32
        assert mesh.uv.shape == (len(mesh.vertices_m), 2)
        assert mesh.uv.dtype == np.float32
        assert np.isfinite(mesh.vertices_m).all()
        assert np.isfinite(mesh.uv).all()
        assert mesh.faces.dtype == np.int32
        assert mesh.faces.min() == 0
        assert mesh.faces.max() == len(mesh.vertices_m) - 1
        assert mesh.face_texture.shape == (len(mesh.faces),)
        assert mesh.face_texture.dtype == np.int32
        assert set(np.unique(mesh.face_texture)) <= set(range(len(performer.textures)))
        assert mesh.is_smooth
        assert mesh.person_id == 3


def test_textures_are_square_bytes(walkers):
    for performer in walkers:
        for texture in performer.textures:
            side = len(texture)
            assert texture.shape == (side, side, 3)
            assert texture.dtype == np.uint8
            assert side in (64, 128, 256)


def test_topology_stays_while_vertices_move(walkers):
    first, second = walkers[0].mesh(0), walkers[0].mesh(1)
    np.testing.assert_array_equal(first.faces, second.faces)
    np.testing.assert_array_equal(first.uv, second.uv)
    assert np.abs(first.vertices_m - second.vertices_m).max() > 0.02


def test_skin_weights_are_shares(walkers):
    for performer in walkers:
        weights = performer.dressed.piece.weights
        assert weights.min() >= 0
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-4)


def test_clothes_stay_near_the_body(walkers):
    for performer in walkers:
        tree = cKDTree(performer.naked_vertices(0))
        away, _ = tree.query(performer.mesh(0).vertices_m)
        assert away.max() < 0.45
        assert np.quantile(away, 0.9) < 0.15
        assert np.median(away) < 0.04


def test_feet_stand_on_their_soles(walkers):
    for performer in walkers:
        naked, dressed = performer.naked_vertices(0), performer.mesh(0).vertices_m
        assert abs(dressed[:, 2].min()) < 0.015
        assert naked[:, 2].min() > 0.5 * performer.dressed.sole_m


def shots(origin: np.ndarray, direction: np.ndarray, corners: np.ndarray, reach_m: float):
    """(n,) bool: whether each ray hits a triangle within reach (Moeller and Trumbore 1997)."""
    # Most hit what is near, so that is tried first.
    _, near = cKDTree(corners.mean(1)).query(origin, 64)
    return np.array(
        [
            _hits(*ray, corners[some], reach_m) or _hits(*ray, corners, reach_m)
            for *ray, some in zip(origin, direction, near, strict=True)
        ]
    )


def _hits(origin: np.ndarray, direction: np.ndarray, corners: np.ndarray, reach_m: float) -> bool:
    a = corners[:, 0]
    ab, ac = corners[:, 1] - a, corners[:, 2] - a
    p = np.cross(direction, ac)
    volume = (ab * p).sum(1)
    volume = np.where(np.abs(volume) < 1e-14, np.inf, volume)
    s = origin - a
    u = (s * p).sum(1) / volume
    q = np.cross(s, ab)
    v = q @ direction / volume
    t = (ac * q).sum(1) / volume
    return bool(((u > -1e-4) & (v > -1e-4) & (u + v < 1.0001) & (t > 0) & (t < reach_m)).any())


def test_trunk_and_hips_are_covered(walkers):
    template, where = body_template(), anatomy()
    x, y, _ = template.vertices_m.T
    private = (where.part == TORSO) & (y < 0.0) & (np.abs(x) < 0.2)
    private |= (where.leg >= 0) & (where.leg < 0.25)
    chosen = np.flatnonzero(private)[::8]
    assert len(chosen) > 150
    for performer in walkers:
        piece = performer.dressed.piece
        body = performer.physique.vertices_m
        skin = np.zeros(len(performer.textures), bool)
        skin[-3:] = True
        cloth = piece.vertices_m[piece.faces[~skin[piece.face_texture]]].astype(np.float64)
        normals = vertex_normals(body, template.faces)[chosen]
        covered = shots(body[chosen].astype(np.float64), normals.astype(np.float64), cloth, 0.5)
        assert covered.mean() > 0.985
        assert (covered | performer.dressed.hidden[chosen]).all()


def test_hidden_skin_is_left_out_and_faces_are_not(walkers):
    template = body_template()
    for performer in walkers:
        hidden = performer.dressed.hidden
        assert 0.15 < hidden.mean() < 0.7
        on_face = (anatomy().part == HEAD) & (
            template.vertices_m[:, 2] > template.landmarks_m["left_ear"][2] + 0.03
        )
        on_face &= template.vertices_m[:, 1] > template.landmarks_m["lip_bottom"][1]
        on_face &= template.vertices_m[:, 1] < template.landmarks_m["nose"][1] + 0.03
        on_face &= np.abs(template.vertices_m[:, 0]) < 0.035
        assert on_face.sum() > 100
        assert not hidden[on_face].any()


def test_looks_differ(walkers):
    colors = {tuple(np.round(p.textures[0].mean((0, 1)))) for p in walkers}
    assert len(colors) > len(walkers) // 2
    assert len({len(p.dressed.piece.faces) for p in walkers}) > len(walkers) // 2


def flat_sheet(side: int = 9) -> tuple[np.ndarray, np.ndarray]:
    line = np.linspace(0, 1, side)
    places = np.stack([*np.meshgrid(line, line, indexing="ij"), np.zeros((side, side))], -1)
    corner = np.arange(side * side).reshape(side, side)
    a, b, c, d = (
        q.ravel() for q in (corner[:-1, :-1], corner[1:, :-1], corner[:-1, 1:], corner[1:, 1:])
    )
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    return places.reshape(-1, 3), faces


def area(places: np.ndarray, faces: np.ndarray) -> float:
    corners = places[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (across[:, 2] > -1e-12).all(), "orientation stays"
    return float(across[:, 2].sum() / 2)


def test_cut_is_exact_along_the_zero_line():
    places, faces = flat_sheet()
    field = places @ [1.0, 0.7, 0.0] - 0.83
    one, other = cut(faces, field), cut(faces, -field)
    for patch in (one, other):
        border = patch.spread(field)[np.unique(patch.border)]
        np.testing.assert_allclose(border, 0, atol=1e-6)
        edges = np.sort(patch.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        _, uses = np.unique(edges, axis=0, return_counts=True)
        assert uses.max() == 2
    total = area(one.spread(places), one.faces) + area(other.spread(places), other.faces)
    assert total == pytest.approx(1.0, abs=1e-5)
    length = one.spread(places)[one.border]
    assert np.linalg.norm(length[:, 0] - length[:, 1], axis=1).sum() == pytest.approx(
        np.hypot(0.7, 1.0), rel=1e-5
    )


def test_cut_of_everything_and_nothing():
    places, faces = flat_sheet(4)
    whole, nothing = cut(faces, np.ones(len(places))), cut(faces, -np.ones(len(places)))
    np.testing.assert_array_equal(whole.faces, faces)
    assert len(whole.border) == 0
    assert len(nothing.faces) == 0


def volume(piece) -> float:
    corners = piece.vertices_m[piece.faces].astype(np.float64)
    return float(np.einsum("ti,ti->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)


def test_capped_loft_faces_outwards():
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    heights = np.array([1.0, 0.4, 0.0])
    rings = np.stack([[np.sin(angle), 0 * angle + h, np.cos(angle)] for h in heights])
    rings = rings.transpose(0, 2, 1)
    weights = joint_weights({"pelvis": np.ones(rings.shape[:2])})
    uv = np.zeros((3, 61, 2))
    piece = loft(rings, weights, uv, 0, is_closed=True, caps=(True, True))
    assert volume(piece) == pytest.approx(np.pi, rel=0.01)


@pytest.mark.parametrize("side", ["left", "right"])
def test_shoe_encloses_the_foot_on_a_flat_sole(side):
    piece = shoe(MEAN, side, ShoeCut(0.02, 0.01, 0.5), 0, 1)
    foot = MEAN.vertices_m[body_template().owned_by(f"{side}_foot")]
    assert 0.0008 < volume(piece) < 0.004
    low, high = piece.vertices_m.min(0), piece.vertices_m.max(0)
    assert (low < foot.min(0)).all()
    assert (high > foot.max(0)).all()
    assert low[1] == pytest.approx(MEAN.vertices_m[:, 1].min() - 0.02, abs=0.003)
    under = piece.vertices_m[piece.faces[piece.face_texture == 1]]
    assert under[..., 1].max() < low[1] + 0.05
    assert (np.ptp(under, axis=(0, 1))[[0, 2]] > [0.07, 0.2]).all()


def test_skirt_is_wider_than_the_legs_it_hides():
    cut_ = SkirtCut(-0.27, -0.75, 0.02, 0.05, 8, 0.005)
    piece = skirt(MEAN, cut_, 0, 1, 2.0)
    low, high = piece.vertices_m.min(0), piece.vertices_m.max(0)
    assert high[1] - low[1] == pytest.approx(0.48, abs=0.01)
    thighs = MEAN.vertices_m[body_template().owned_by("left_hip", "right_hip")]
    assert low[0] < thighs[:, 0].min()
    assert high[0] > thighs[:, 0].max()
    hem = piece.vertices_m[piece.vertices_m[:, 1] < low[1] + 0.02]
    assert np.ptp(hem[:, 0]) < 0.6


def test_extents_come_from_their_own_slice():
    points = np.array([[1.0, 0.0, 0.0], [-2.0, 1.0, 0.0], [5.0, 2.0, 0.0], [9.0, 9.0, 0.0]])
    for steps in (np.array([0.0, 1.0, 2.0]), np.array([2.0, 1.0, 0.0])):
        found = extent_at(points, 1, steps)
        np.testing.assert_allclose(found.high_m[:, 1], steps)
        np.testing.assert_allclose(found.high_m[:, 0], [{0: 1, 1: -2, 2: 5}[s] for s in steps])


def test_face_is_painted_where_its_features_are():
    rng = np.random.default_rng(0)
    tone, hair = SKIN_TONES[1], np.array([20.0, 18.0, 16.0])
    texture = face_texture(rng, tone, hair, beard=0.0, make_up=0.0).astype(float)
    landmarks = body_template().landmarks_m

    def color_at(place: np.ndarray) -> np.ndarray:
        column, row = np.floor(face_uv(place) * len(texture)).astype(int)
        return texture[row - 1 : row + 2, column - 1 : column + 2].mean((0, 1))

    cheek = color_at(landmarks["nose"] + np.array([0.04, -0.01, 0]))
    lip = color_at((landmarks["lip_bottom"] + landmarks["mouth_bottom"]) / 2)
    brow = color_at(landmarks["left_eye"] + np.array([0.0, 0.023, 0]))
    forehead = color_at(landmarks["left_eye"] + np.array([-0.01, 0.055, 0]))
    np.testing.assert_allclose(forehead, tone, atol=15)
    assert brow.mean() < 0.7 * forehead.mean()
    assert lip[1] < 0.9 * cheek[1]
    bearded = face_texture(rng, tone, hair, beard=1.0, make_up=0.0).astype(float)
    chin = face_uv(landmarks["lip_bottom"] - np.array([0, 0.02, 0])) * len(texture)
    column, row = chin.astype(int)
    assert bearded[row, column].mean() < 0.6 * texture[row, column].mean()


def test_face_texture_spans_the_face():
    nose = body_template().landmarks_m["nose"]
    np.testing.assert_allclose(face_uv(nose)[0], 0.5, atol=0.01)
    up = face_uv(nose + np.array([0, FACE_REACH_M, 0])) - face_uv(nose)
    np.testing.assert_allclose(up, [0, -0.5], atol=1e-6)


def test_coverage_of_clothes():
    x, y, _ = body_template().vertices_m.T
    shirt = coverage.top(-0.4, 0.5)
    elbow, hip = coverage.height_of("left_elbow"), coverage.height_of("left_hip")
    assert elbow > 0
    assert not (shirt[np.abs(x) > body_template().joints_m[JOINT["left_elbow"], 0]] > 0).any()
    assert not (shirt[(y < -0.41) & (np.abs(x) < 0.3)] > 0).any()
    assert (shirt[(np.abs(y + 0.2) < 0.1) & (np.abs(x) < 0.15)] > 0).all()
    trousers = coverage.bottom(-0.27, 1.95)
    assert (trousers[(y < hip) & (y > -1.0)] > 0).all()
    assert not (trousers[y > -0.26] > 0).any()
    trunk, sleeves = coverage.sleeves_of(shirt)
    np.testing.assert_array_equal((trunk > 0) | (sleeves > 0), shirt > 0)
    assert not ((trunk > 0) & (sleeves > 0)).any()
    jacket = coverage.opened(shirt, 0.05, 0.0)
    assert 0 < (jacket > 0).sum() < (shirt > 0).sum()
