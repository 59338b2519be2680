"""Rooms and lots: well-formed meshes, room to walk, seats that can be sat on."""

import numpy as np
import pytest
from human3r_lab.synth import furniture as fu
from human3r_lab.synth import street
from human3r_lab.synth import textures as tx
from human3r_lab.synth.lots import make_lot
from human3r_lab.synth.rooms import make_room
from human3r_lab.synth.scenery import Set, footprint
from human3r_lab.synth.shapes import blob, box, cylinder, lathe, prism, to_meshes

PIECES = (
    fu.table, fu.desk, fu.chair, fu.sofa, fu.bed, fu.shelf, fu.cabinet, fu.television, fu.plant,
    fu.floor_lamp, fu.crates, fu.bench, street.car, street.tree, street.hedge, street.pole,
    street.bin_,
)  # fmt: skip
TEXTURES = (
    *tx.WALLS, *tx.FLOORS, *tx.CLOTHS, *tx.GROUNDS, tx.rug, tx.art, tx.poster, tx.books, tx.door,
    tx.screen, tx.facade, tx.leaves, tx.bark, tx.metal, tx.cardboard, tx.road_mark,
)  # fmt: skip


@pytest.fixture(scope="module")
def scenes():
    return [
        make(np.random.default_rng(seed), is_roomy=is_roomy)
        for seed in range(2)
        for make in (make_room, make_lot)
        for is_roomy in (True, False)
    ]


def test_meshes_are_well_formed(scenes):
    for scene in scenes:
        assert len(scene.meshes) == len(scene.casts_shadow)
        for mesh in scene.meshes:
            assert mesh.vertices_m.dtype == mesh.uv.dtype == np.float32
            assert mesh.faces.dtype == mesh.face_texture.dtype == np.int32
            assert np.isfinite(mesh.vertices_m).all()
            assert np.isfinite(mesh.uv).all()
            assert 0 <= mesh.faces.min() <= mesh.faces.max() < len(mesh.vertices_m)
            assert 0 <= mesh.face_texture.min() <= mesh.face_texture.max() < len(scene.textures)
            assert mesh.person_id == 0


def test_there_is_room_to_walk(scenes):
    for scene in scenes:
        low, high = scene.stage.low_m, scene.stage.high_m
        assert (high - low > 2.5).all()
        x, y = np.meshgrid(np.linspace(low[0], high[0], 40), np.linspace(low[1], high[1], 40))
        free = np.ones(x.shape, bool)
        for obstacle in scene.stage.obstacles:
            a, b = obstacle.low_m - 0.3, obstacle.high_m + 0.3
            free &= ~((x > a[0]) & (x < b[0]) & (y > a[1]) & (y < b[1]))
        assert free.mean() > 0.25


def test_seats_face_free_floor_and_lie_on_their_furniture(scenes):
    count = 0
    for scene in scenes:
        for seat in scene.stage.seats:
            count += 1
            assert 0.35 < seat.place_m[2] < 0.55
            assert any(
                (o.low_m - 0.05 <= seat.place_m[:2]).all()
                and (seat.place_m[:2] <= o.high_m + 0.05).all()
                for o in scene.stage.obstacles
            )
    assert count > 4


def test_rooms_are_closed_and_lots_are_open(scenes):
    for scene in scenes:
        assert (scene.stage.ceiling_m is None) == (scene.name == "lot")
        top = max(mesh.vertices_m[:, 2].max() for mesh in scene.meshes)
        assert top >= (scene.stage.ceiling_m or 1.0) - 1e-4


def test_roomy_places_have_nothing_in_the_middle(scenes):
    for seed in range(3):
        for make in (make_room, make_lot):
            stage = make(np.random.default_rng(100 + seed), is_roomy=True).stage
            for obstacle in stage.obstacles:
                inside = np.maximum(stage.low_m - obstacle.low_m, obstacle.high_m - stage.high_m)
                centre = (obstacle.low_m + obstacle.high_m) / 2
                reach = np.abs(centre) / (stage.high_m + 1e-9)
                assert inside.max() > -0.2 or reach.max() > 0.5


def test_scenes_differ_and_repeat():
    first, again, other = (make_room(np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(first.textures, again.textures, strict=True))
    assert all(
        np.array_equal(a.vertices_m, b.vertices_m)
        for a, b in zip(first.meshes, again.meshes, strict=True)
    )
    assert not np.array_equal(first.stage.high_m, other.stage.high_m)


@pytest.mark.parametrize("make", PIECES, ids=lambda make: make.__name__)
def test_furniture_stands_on_the_floor_inside_its_footprint(make):
    for seed in range(3):
        place = Set(np.random.default_rng(seed))
        piece = make(place)
        points = np.concatenate([shape.vertices_m for shape in piece.shapes])
        is_green = make in (street.tree, street.hedge, fu.plant, street.pole)
        slack = 10.0 if is_green else 0.12
        assert -0.35 < points[:, 2].min() < 0.1 or is_green
        assert abs(points[:, 2].max() - piece.height_m) < (2.5 if is_green else 0.6)
        assert (points[:, :2].min(0) > np.array(piece.low_m) - slack).all()
        assert (points[:, :2].max(0) < np.array(piece.high_m) + slack).all()


def test_a_placed_piece_becomes_an_obstacle_with_seats_that_face_forward():
    place = Set(np.random.default_rng(0))
    piece = fu.sofa(place)
    place.put(piece, 2.0, -1.0, np.pi / 2)
    (obstacle,) = place.obstacles
    low, high = footprint(piece, 2.0, -1.0, np.pi / 2)
    np.testing.assert_allclose([obstacle.low_m, obstacle.high_m], [low, high])
    # Turned by a quarter, the sofa's depth lies along y.
    depth = piece.high_m[0] - piece.low_m[0]
    np.testing.assert_allclose(high[1] - low[1], depth)
    for seat in place.seats:
        np.testing.assert_allclose(seat.heading_rad, np.pi / 2)
        assert (low < seat.place_m[:2]).all()
        assert (seat.place_m[:2] < high).all()
    assert not place.is_free(low, high, 0.0)
    assert place.is_free(low + 5, high + 5, 0.5)


def test_solids_face_outwards():
    rng = np.random.default_rng(0)
    ball = [(0.0, -1.0), (0.8, -0.6), (1.0, 0.0), (0.8, 0.6), (0.0, 1.0)]
    solids = (
        box((-1, -2, -0.5), (1, 2, 0.5), 0),
        prism(np.array([(-1, -1), (1, -1), (0, 1)]), -1, 1, 0),
        lathe(ball, 0),
        cylinder(1.0, -1.0, 1.0, 0),
        blob(rng, np.array([1.0, 1.0, 1.0]), 0, 0.1),
    )
    for solid in solids:
        for mesh in to_meshes([solid]):
            a, b, c = (mesh.vertices_m[mesh.faces[:, k]].astype(float) for k in range(3))
            normals = np.cross(b - a, c - a)
            middle = (a + b + c) / 3
            big = np.linalg.norm(normals, axis=1) > 1e-6
            assert ((normals * middle).sum(1)[big] > 0).all()


@pytest.mark.parametrize("make", sorted(set(TEXTURES), key=lambda f: f.__name__))
def test_textures_have_the_form_that_the_renderer_wants(make):
    first, second = (make(np.random.default_rng(seed)) for seed in (1, 2))
    side = len(first)
    assert first.shape == (side, side, 3)
    assert first.dtype == np.uint8
    assert side in (64, 128, 256)
    assert not np.array_equal(first, second)


def test_noise_repeats_without_a_seam():
    noise = tx.cloud_noise(np.random.default_rng(0), 128, 4, 32)
    inner = np.abs(np.diff(noise, axis=0)).mean()
    seam = np.abs(noise[0] - noise[-1]).mean()
    assert seam < 2 * inner
    assert abs(noise.mean()) < 1e-3
    assert abs(noise.std() - 1) < 1e-2
