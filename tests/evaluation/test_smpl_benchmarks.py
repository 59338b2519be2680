"""Benchmarks whose people are SMPL bodies: 3DPW, EMDB, RICH, with made-up bodies."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from human3r_lab.evaluation.benchmarks import BENCHMARKS, BenchmarkOptions
from human3r_lab.evaluation.measures import numbers
from human3r_lab.evaluation.runner import evaluate
from human3r_lab.evaluation.smpl_body import SmplBody
from human3r_lab.evaluation.smpl_scheme import SmplScheme
from scipy.spatial.transform import Rotation

from human3r.config import Settings
from human3r.errors import BodyModelError, InputError
from human3r.geometry import invert
from human3r.streaming.preprocess import resize_and_crop
from human3r.types import BodyParameters, FrameEstimate, Intrinsics, PersonEstimate
from tests.datasets import published
from tests.evaluation import smpl_files
from tests.evaluation.small_world import free_body


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return smpl_files.write(tmp_path_factory.mktemp("smpl"))


@pytest.fixture(scope="module")
def smpl(folder):
    return SmplBody(folder / "SMPL_FEMALE.npz")


class ToldSmplPipeline:
    """Finds the people of the truth it is given, moved by a shift in the camera frame."""

    def __init__(self, body_model, sequence, scheme, shift_m=(0, 0, 0), missed=()):
        self.settings = Settings()
        self.body_model = body_model
        self.network = SimpleNamespace(config=SimpleNamespace(input_size_px=64))
        self.sequence, self.scheme = sequence, scheme
        self.shift_m, self.missed = np.array(shift_m), missed

    def reset(self, *, keep_scale):
        pass

    def step(self, frame):
        views = [self.sequence.view(index) for index in range(len(self.sequence))]
        view = next(view for view in views if view.stamp_ns == frame.stamp_ns)
        people = tuple(self._people(view)) if view.people else ()
        return flat_estimate(frame, view.intrinsics, view.world_from_camera, people)

    def _people(self, view):
        bodies = self.scheme.true_bodies(view.people, invert(view.world_from_camera))
        for person, vertices in zip(view.people, bodies.vertices, strict=True):
            if person.person_id in self.missed:
                continue
            smplx = np.zeros((smpl_files.SMPLX_VERTICES, 3), np.float32)
            smplx[: len(vertices)] = vertices + self.shift_m
            rotations = np.tile(np.eye(3, dtype=np.float32), (53, 1, 1))
            body = BodyParameters(rotations, *[np.zeros(3, np.float32)] * 3)
            head = np.zeros(2, np.float32)
            yield PersonEstimate(
                person.person_id, 0.9, head, body, np.zeros((127, 3), np.float32), smplx
            )


def flat_estimate(frame, intrinsics, world_from_camera, people=(), depth_m=3.0):
    """A wall before the camera."""
    image, geometry = resize_and_crop(frame.image, 64)
    points = np.full((*image.shape[:2], 3), depth_m, np.float32)
    camera = intrinsics or Intrinsics(60, 60, 31.5, 23.5, *frame.image.shape[1::-1])
    return FrameEstimate(
        stamp_ns=frame.stamp_ns,
        session=1,
        frame_index=0,
        geometry=geometry,
        image=image,
        points_camera=points,
        confidence=points[..., 0],
        person_probability=0 * points[..., 0],
        world_from_camera=np.eye(4) if world_from_camera is None else world_from_camera,
        intrinsics=geometry.network_intrinsics(camera),
        estimated_focal_px=geometry.network_intrinsics(camera).fx,
        people=people,
    )


def outcome(name, root, folder, body, **told):
    """Results of a benchmark whose estimates are the truth, but for what is told."""
    options = BenchmarkOptions(root=root, smpl_folder=folder)
    pipeline = ToldSmplPipeline(body, None, None, **told)
    with BENCHMARKS[name].open(options, pipeline) as opened:
        (sequence,) = opened.sequences
        pipeline.sequence, pipeline.scheme = sequence.recorded, opened.scheme
        done = evaluate(opened.sequences, pipeline, opened.scheme, depth=BENCHMARKS[name].depth)
    assert done.results[0].error == ""
    return numbers(done.results), done.results[0].counts


def test_smpl_is_posed_as_the_reference_does(smpl):
    lbs = pytest.importorskip("smplx.lbs").lbs
    arrays = smpl_files.smpl_arrays(2)
    rng = np.random.default_rng(5)
    vectors, betas = 0.4 * rng.standard_normal((24, 3)), rng.standard_normal(10)
    tensors = {name: torch.from_numpy(array).double() for name, array in arrays.items()}
    want, _ = lbs(
        torch.from_numpy(betas)[None],
        torch.from_numpy(vectors.reshape(1, 72)),
        tensors["v_template"],
        tensors["shapedirs"],
        tensors["posedirs"].reshape(-1, 207).T,
        tensors["J_regressor"],
        torch.tensor(smpl_files.PARENTS),
        tensors["weights"],
    )
    got = smpl.vertices(vectors, betas, np.array([1.0, 2, 3]))
    assert np.abs(got - want[0].numpy() - [1, 2, 3]).max() < 1e-6


def test_turning_the_root_turns_the_body_about_its_root_joint(smpl):
    still = smpl.vertices(np.zeros((24, 3)), np.zeros(0), np.zeros(3))
    assert np.allclose(still, smpl_files.smpl_arrays(2)["v_template"], atol=1e-6)
    vectors = np.zeros((24, 3))
    vectors[0] = 0, 0.7, 0
    root = smpl.joint_regressor[0] @ still
    turned = smpl.vertices(vectors, np.zeros(10), np.zeros(3))
    turn = Rotation.from_rotvec(vectors[0]).as_matrix()
    assert np.allclose(turned, (still - root) @ turn.T + root, atol=1e-6)


def test_3dpw_people_are_compared_in_fourteen_joints(tmp_path, folder, golden_body):
    published.threedpw(tmp_path)
    found, counts = outcome("3dpw", tmp_path, folder, golden_body)
    assert counts["people_matched"] == 5
    for name in ("mpjpe_mm", "pa_mpjpe_mm", "pve_mm", "root_error_mm"):
        assert found[name] == pytest.approx(0, abs=1e-2), name
    assert found["f1"] == 1
    assert found["w_mpjpe_mm"] is None, "camera frame only"
    assert found["ate_m"] is None
    far, _ = outcome("3dpw", tmp_path, folder, golden_body, shift_m=(0, 0, 0.1), missed=(2,))
    assert far["absolute_mpjpe_mm"] == pytest.approx(100, abs=0.1)
    assert far["mpjpe_mm"] == pytest.approx(0, abs=1e-2)
    assert far["recall"] == pytest.approx(3 / 5)


def test_emdb_2_is_measured_in_the_world(tmp_path, folder, golden_body):
    published.emdb(tmp_path, "P2", "20_outdoor_walk", part=2, frames=14)
    found, counts = outcome("emdb2", tmp_path, folder, golden_body)
    assert counts["people_matched"] == 13, "one frame is not good"
    for name in ("wa_mpjpe_mm", "w_mpjpe_mm", "rte_percent", "ate_m"):
        assert found[name] == pytest.approx(0, abs=1e-2), name
    assert found["jitter"] == pytest.approx(found["true_jitter"])


def test_emdb_1_and_2_have_frames_of_their_own(tmp_path, folder, golden_body):
    published.emdb(tmp_path, "P0", "00_mutual", part=1)
    found, _ = outcome("emdb1", tmp_path, folder, golden_body)
    assert found["mpjpe_mm"] == pytest.approx(0, abs=1e-2)
    assert found["w_mpjpe_mm"] is None
    with pytest.raises(InputError, match="EMDB-2"):
        outcome("emdb2", tmp_path, folder, golden_body)


def test_rich_people_become_smpl_through_smplx(tmp_path, folder, golden_body, monkeypatch):
    from human3r_lab.evaluation import smpl_scheme

    opened = []

    def load(path):
        opened.append(path.name)
        return golden_body

    monkeypatch.setattr(smpl_scheme, "load_body_model", load)
    published.rich(tmp_path)
    found, counts = outcome("rich", tmp_path, folder, golden_body)
    assert set(opened) == {"SMPLX_FEMALE.npz"}
    assert counts["people_matched"] == 2
    assert found["mpjpe_mm"] == pytest.approx(0, abs=1e-2)
    scheme = SmplScheme(folder, golden_body, is_h36m=False)
    from human3r_lab.datasets.rich import open_rich

    (person,) = open_rich(tmp_path)[0].view(0).people
    still = person.__class__(**{**vars(person), "rotation_vectors": np.zeros((22, 3))})
    vertices = scheme._smplx_vertices(still)
    mesh = golden_body(
        torch.eye(3).expand(1, 53, 3, 3), torch.zeros(1, 10), torch.zeros(1, 10), torch.zeros(1, 3)
    )
    rest = golden_body.rest_joints(torch.zeros(1, 10))[0, 0] - mesh.joints[0, 0]
    assert np.allclose(vertices - [0, 0, 1], (mesh.vertices[0] + rest).numpy(), atol=1e-5)


def test_without_the_licensed_files_it_says_which_and_where(tmp_path, folder, golden_body):
    published.threedpw(tmp_path)
    with pytest.raises(InputError, match=r"(?s)--smpl-regressors.*registration"):
        outcome("3dpw", tmp_path, None, golden_body)
    for name in ("smplx2smpl.pkl", "J_regressor_h36m.npy", "SMPL_NEUTRAL.pkl"):
        partly = tmp_path / f"without_{name}"
        partly.mkdir()
        for path in folder.iterdir():
            if path.stem != name.partition(".")[0]:
                (partly / path.name).symlink_to(path)
        with pytest.raises((BodyModelError, InputError), match=name):
            outcome("3dpw", tmp_path, partly, golden_body)


def test_the_free_body_cannot_be_compared_with_smpl(tmp_path, folder):
    published.threedpw(tmp_path)
    with pytest.raises(InputError, match=r"free_body.*10475"):
        outcome("3dpw", tmp_path, folder, free_body())


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("weights", np.zeros((6890, 20))),
        ("posedirs", np.zeros((6890, 3, 9))),
        ("kintree_table", np.array([range(24), range(24)])),
        ("v_template", np.full((6890, 3), np.nan)),
    ],
)
def test_bodies_of_another_layout_are_refused(tmp_path, name, array):
    path = tmp_path / "SMPL_MALE.npz"
    np.savez(path, **(smpl_files.smpl_arrays(0) | {name: array}))
    with pytest.raises(BodyModelError, match="SMPL_MALE"):
        SmplBody(path)
