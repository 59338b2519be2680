"""The steps of the free body's build, on small inputs with known answers; no anny needed."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix, identity

from human3r.body.skeleton import JOINT_NAMES, SMPLX_LANDMARK_VERTICES
from tools.free_body import files, landmarks, shape_space, skeleton
from tools.free_body.face_landmarks import front_hits
from tools.free_body.makehuman import sample_traits, y_up
from tools.free_body.picture import BACKGROUND_RGB, contact_sheet, draw_body, turn_about_y
from tools.free_body.zero_pose import shortest_rotation, zero_pose


def resting_rig() -> tuple[tuple[str, ...], tuple[int, ...], np.ndarray]:
    """Names, parents and heads of a rig like MakeHuman's: arms hang, elbows bend, legs apart."""
    names, parents, heads = ["root"], [-1], [np.array([0.0, 1.0, 0.0])]

    def add(name: str, parent: str, offset: list[float]) -> None:
        parents.append(names.index(parent))
        heads.append(heads[parents[-1]] + offset)
        names.append(name)

    for side, sign in (("L", 1), ("R", -1)):
        chain = [
            ("clavicle", [0.03, 0.45, 0]),
            ("shoulder01", [0.08, 0.02, 0]),
            ("upperarm01", [0.07, -0.02, 0]),
            ("upperarm02", [0.06, -0.06, 0]),
            ("lowerarm01", [0.12, -0.12, 0]),
            ("lowerarm02", [0.07, -0.08, 0.04]),
            ("wrist", [0.07, -0.08, 0.04]),
        ]
        parent = "root"
        for bone, (x, y, z) in chain:
            add(f"{bone}.{side}", parent, [sign * x, y, z])
            parent = f"{bone}.{side}"
        for number in (1, 2, 3, 4):
            add(f"metacarpal{number}.{side}", f"wrist.{side}", [sign * 0.01, -0.01, 0])
        for finger in range(1, 6):
            across = 0.045 - 0.018 * finger
            add(f"finger{finger}-1.{side}", f"wrist.{side}", [sign * 0.05, -0.07, 0.03 + across])
            for link in (2, 3):
                before = f"finger{finger}-{link - 1}.{side}"
                add(f"finger{finger}-{link}.{side}", before, [sign * 0.01, -0.02, 0.005])
        legs = [
            ("upperleg01", [0.1, -0.05, 0]),
            ("upperleg02", [0.02, -0.1, 0]),
            ("lowerleg01", [0.06, -0.3, 0.01]),
            ("lowerleg02", [0.03, -0.2, -0.02]),
            ("foot", [0.02, -0.2, -0.02]),
        ]
        parent = "root"
        for bone, (x, y, z) in legs:
            add(f"{bone}.{side}", parent, [sign * x, y, z])
            parent = f"{bone}.{side}"
    return tuple(names), tuple(parents), np.array(heads)


def symmetric_cloud(count: int = 400) -> np.ndarray:
    """Points, the second half mirroring the first."""
    half = np.random.default_rng(1).uniform([0.02, -1, -0.2], [0.5, 1, 0.2], (count // 2, 3))
    return np.concatenate([half, half * [-1, 1, 1]])


def test_zero_pose_straightens_arms_and_legs_and_keeps_lengths():
    names, parents, heads = resting_rig()
    # One vertex on every bone head, moving with that bone alone: it must follow its bone.
    skin, zero = zero_pose(
        heads[None], heads[None], names, parents, csr_matrix(identity(len(names)))
    )
    np.testing.assert_allclose(skin, zero, atol=1e-12)
    at = {name: zero[0, number] for number, name in enumerate(names)}
    for side, sign in (("L", 1), ("R", -1)):
        for near, far in (("upperarm02", "lowerarm01"), ("lowerarm02", "wrist")):
            direction = at[f"{far}.{side}"] - at[f"{near}.{side}"]
            np.testing.assert_allclose(direction[1:], 0, atol=1e-9)
            assert direction[0] * sign > 0
        across = at[f"finger2-1.{side}"] - at[f"finger5-1.{side}"]
        assert across[2] > 0.04
        assert abs(across[1]) < 1e-9
        shin = at[f"foot.{side}"] - at[f"lowerleg01.{side}"]
        np.testing.assert_allclose(shin / -shin[1], [-0.01 * sign, -1, -0.03], atol=1e-9)
    for bone, parent in enumerate(parents[1:], start=1):
        lengths = [np.linalg.norm(points[bone] - points[parent]) for points in (heads, zero[0])]
        assert lengths[0] == pytest.approx(lengths[1])


def test_shortest_rotation_turns_onto_the_target_about_the_common_normal():
    source = np.array([[1.0, 0, 0], [0, 2.0, 0]])
    turn = shortest_rotation(source, np.array([0, 0, 1.0]))
    turned = np.einsum("nij,nj->ni", turn, source)
    np.testing.assert_allclose(turned, [[0, 0, 1], [0, 0, 2]], atol=1e-12)
    np.testing.assert_allclose(turn[0] @ [0, 1, 0], [0, 1, 0], atol=1e-12)


def test_y_up_turns_anny_axes_without_mirroring():
    up, front, left = np.array([[0, 0, 1.0], [0, -1.0, 0], [1.0, 0, 0]])
    np.testing.assert_allclose(y_up(np.stack([up, front, left])), np.eye(3)[[1, 2, 0]])


def test_traits_stay_in_range_and_repeat_with_the_seed():
    traits = sample_traits(400, np.random.default_rng(5))
    assert all(((value >= 0) & (value <= 1)).all() for value in traits.values())
    assert 0.1 < (traits["age"] < 0.62).mean() < 0.3
    again = sample_traits(400, np.random.default_rng(5))
    assert all((traits[name] == again[name]).all() for name in traits)


def test_every_joint_has_a_place_and_every_named_bone_gives_all_its_weight():
    assert set(skeleton.JOINT_PLACES) == set(JOINT_NAMES)
    tables = (*skeleton.JOINT_PLACES.values(), *skeleton.BONE_OWNERS.values())
    assert all(sum(parts.values()) == pytest.approx(1) for parts in tables)
    assert {joint for parts in skeleton.BONE_OWNERS.values() for joint in parts} == set(JOINT_NAMES)


def test_unnamed_bones_follow_their_nearest_named_parent():
    names, parents = ("head", "special04", "oris02"), (-1, 0, 1)
    weights = skeleton.joint_weights(csr_matrix([[0.25, 0.25, 0.5]]), names, parents)
    assert weights[0, JOINT_NAMES.index("head")] == pytest.approx(1)


def test_shape_space_finds_the_directions_people_differ_in():
    rng = np.random.default_rng(2)
    mean = symmetric_cloud(60)
    taller = np.zeros_like(mean)
    taller[:, 1] = -0.2 * mean[:, 1]  # given downside up: the sign must come out as taller
    wider = np.zeros_like(mean)
    wider[:, 0] = 0.05 * mean[:, 0]
    betas = rng.normal(size=(300, 2))
    people = mean + np.einsum("nk,kvc->nvc", betas, np.stack([taller, wider]))
    triangles = np.arange(60).reshape(20, 3)
    space = shape_space.fit_shape_space(people, triangles, 3)
    assert space.explained[1] == pytest.approx(1)
    cosine = np.sum(space.directions[..., 0] * -taller)
    cosine /= np.linalg.norm(space.directions[..., 0]) * np.linalg.norm(taller)
    assert cosine > 0.99
    deviation = np.linalg.norm(space.directions[..., 0]) / np.linalg.norm(taller)
    assert deviation == pytest.approx(1, rel=0.15)
    assert shape_space.reconstruction_errors_mm(space, people, 2).max() < 1e-6
    assert shape_space.reconstruction_errors_mm(space, people, 1).max() > 1


def test_joint_regressor_finds_joints_and_is_mirrored():
    rng = np.random.default_rng(3)
    mean = symmetric_cloud()
    scale = 1 + 0.2 * rng.normal(size=(40, 1, 3))
    people = mean * scale
    left = mean[:200][np.argsort(mean[:200, 1])[50:60]].mean(0)
    middle = left * [0, 1, 1]
    rest = np.array([middle] * 55)
    for number, name in enumerate(JOINT_NAMES):
        if name.startswith(("left", "right")):
            rest[number] = left * [-1 if name.startswith("right") else 1, 1, 1]
    allowed = np.ones(len(mean), bool)
    allowed[[7, 207]] = False
    regressor = shape_space.fit_joint_regressor(people, rest * scale, allowed)
    np.testing.assert_allclose(regressor @ mean, rest, atol=2e-3)
    np.testing.assert_allclose(regressor.sum(axis=1), 1)
    assert regressor.min() >= 0
    assert abs(regressor[:, [7, 207]]).max() == 0
    elbows = [JOINT_NAMES.index(f"{side}_elbow") for side in ("left", "right")]
    found = (regressor @ mean)[elbows]
    np.testing.assert_allclose(found[0] * [-1, 1, 1], found[1], atol=1e-12)


def test_asymmetric_mesh_is_refused():
    cloud = symmetric_cloud()
    cloud[3, 1] += 0.05
    with pytest.raises(ValueError, match="not symmetric"):
        shape_space.mirror_vertices(cloud)


def test_order_puts_landmarks_at_their_numbers_and_keeps_every_vertex():
    chosen = np.arange(21) * 7 + 3
    order = landmarks.order_for_landmarks(chosen, 10_000)
    assert order[list(SMPLX_LANDMARK_VERTICES)].tolist() == chosen.tolist()
    assert (np.sort(order) == np.arange(10_000)).all()


@pytest.mark.parametrize(("chosen", "vertices"), [(range(21), 9_929), ([0] * 21, 10_000)])
def test_order_refuses_small_meshes_and_shared_vertices(chosen, vertices):
    with pytest.raises(ValueError, match="9929 vertices"):
        landmarks.order_for_landmarks(np.array(chosen), vertices)


def test_front_hit_is_the_foremost_triangle_with_its_shares():
    far = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]])
    vertices = np.vstack([far, far + np.array([0, 0, 0.5])])
    triangles = np.array([[0, 1, 2], [3, 4, 5]])
    numbers, shares = front_hits(vertices, triangles, np.arange(2), np.array([[0.2, 0.3]]))
    assert numbers.tolist() == [1]
    np.testing.assert_allclose(shares, [[0.5, 0.2, 0.3]])
    with pytest.raises(ValueError, match="no triangle of the face"):
        front_hits(vertices, triangles, np.arange(2), np.array([[0.9, 0.9]]))


def test_quantised_weights_keep_six_and_sum_to_exactly_one():
    weights = np.random.default_rng(4).dirichlet(np.full(55, 0.1), 500)
    packed = files.quantise_weights(weights)
    assert packed.dtype == np.float32
    assert (packed.astype(np.float64).sum(axis=1) == 1).all()
    assert (packed > 0).sum(axis=1).max() <= 6
    assert (packed.argmax(axis=1) == weights.argmax(axis=1)).all()


def test_interrupted_write_leaves_the_old_file_and_no_part(tmp_path):
    target = tmp_path / "body.npz"
    files.write_npz(target, {"a": np.arange(3)})
    before = target.read_bytes()

    class Unwritable:
        def __array__(self, dtype=None, copy=None):
            raise MemoryError("no room")

    with pytest.raises(MemoryError):
        files.write_npz(target, {"a": np.arange(4), "b": Unwritable()})
    assert target.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["body.npz"]


def test_same_arrays_make_the_same_bytes(tmp_path):
    for name in ("one.npz", "two.npz"):
        files.write_npz(tmp_path / name, {"a": np.linspace(0, 1, 1000)})
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_picture_shows_front_faces_where_they_are():
    square = np.array([[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0.0]])
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    centre = np.zeros(3)
    image = draw_body(square, triangles, centre=centre, height_m=2, size_px=(100, 100))
    painted = (image != BACKGROUND_RGB).any(axis=2)
    rows, columns = np.nonzero(painted)
    assert 24 <= rows.min() <= 26
    assert 48 <= rows.max() <= 51
    assert 48 <= columns.min() <= 51
    assert 73 <= columns.max() <= 76
    behind = draw_body(square, triangles, turn_about_y(np.pi), centre, 2, (100, 100))
    assert (behind == BACKGROUND_RGB).all()
    assert contact_sheet([image, image, image], 2).shape == (200, 200, 3)
