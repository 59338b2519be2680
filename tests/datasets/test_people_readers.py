"""3DPW, EMDB and RICH, from files that are laid out as the real ones."""

import os
import pickle
import re

import numpy as np
import pytest
from human3r_lab.datasets.emdb import open_emdb
from human3r_lab.datasets.pickled_annotations import read_pickled
from human3r_lab.datasets.rich import open_rich
from human3r_lab.datasets.threedpw import open_threedpw
from scipy.sparse import csc_matrix, csr_matrix

from human3r.errors import InputError
from tests.datasets import published


def test_3dpw_gives_people_with_a_valid_camera(tmp_path):
    published.threedpw(tmp_path)
    (sequence,) = open_threedpw(tmp_path)
    assert sequence.name == "downtown_arguing_00"
    assert len(sequence) == 3
    first, second = sequence.view(0), sequence.view(1)
    assert [person.person_id for person in first.people] == [1]
    assert [person.person_id for person in second.people] == [1, 2]
    person = second.people[1]
    assert (person.model, person.gender) == ("smpl", "female")
    assert person.rotation_vectors.shape == (24, 3)
    assert person.translation_m.tolist() == [0.5, 0, 1]
    assert person.betas.tolist() == np.linspace(-1, 1, 10).tolist()
    assert np.allclose(second.world_from_camera[:3, 3], [0.1, 0, -3])
    assert second.intrinsics.fx == 60
    assert second.image.shape == (48, 64, 3)
    assert second.stamp_ns > first.stamp_ns > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"cam_poses": np.zeros((3, 3, 3))},
        {"cam_poses": np.full((3, 4, 4), np.nan)},
        {"cam_poses": published.camera_from_world(2)},
        {"genders": ["m", "x"]},
        {"genders": ["m"]},
        {"poses": [np.zeros((3, 69))] * 2},
        {"poses": None},
        {"trans": [np.zeros((2, 3))] * 2},
        {"cam_intrinsics": "none"},
    ],
)
def test_damaged_3dpw_annotations_are_named(tmp_path, changes):
    published.threedpw(tmp_path, **changes)
    with pytest.raises(InputError, match="downtown_arguing_00"):
        open_threedpw(tmp_path)


def test_emdb_gives_the_sequences_of_a_part_and_nobody_in_bad_frames(tmp_path):
    published.emdb(tmp_path, "P0", "00_mutual", part=1)
    published.emdb(tmp_path, "P2", "20_outdoor_walk", part=2)
    (one,), (two,) = open_emdb(tmp_path, 1), open_emdb(tmp_path, 2)
    assert (one.name, two.name) == ("P0_00_mutual", "P2_20_outdoor_walk")
    views = [two.view(number) for number in range(4)]
    assert [view.people is None for view in views] == [False, False, True, False]
    person = views[1].people[0]
    assert person.gender == "female"
    assert person.translation_m.tolist() == [0.05, 0, 1]
    assert np.allclose(views[3].world_from_camera[:3, 3], [0.3, 0, -3])


def test_emdb_without_the_part_is_said(tmp_path):
    published.emdb(tmp_path, "P0", "00_mutual", part=1)
    with pytest.raises(InputError, match="EMDB-2"):
        open_emdb(tmp_path, 2)
    published.emdb(tmp_path, "P0", "01_other", part=1, good_frames_mask=np.ones(3))
    with pytest.raises(InputError, match="good_frames_mask"):
        open_emdb(tmp_path, 1)
    published.emdb(tmp_path, "P0", "01_other", part=1, smpl=None)
    with pytest.raises(InputError, match="no smpl"):
        open_emdb(tmp_path, 1)


def test_rich_reads_a_camera_and_the_body_of_each_frame(tmp_path):
    published.rich(tmp_path)
    (sequence,) = open_rich(tmp_path)
    assert sequence.name == "Gym_010_pushup1_cam_01"
    view = sequence.view(1)
    (person,) = view.people
    assert (person.model, person.gender) == ("smplx", "female")
    assert person.rotation_vectors.shape == (22, 3)
    assert person.rotation_vectors[0].tolist() == pytest.approx([0, 0.2, 0])
    assert np.allclose(view.world_from_camera[:3, 3], [0, 0, -3])
    assert view.intrinsics.cy == 23.5


@pytest.mark.parametrize(
    "text",
    ["", "<a/>", "<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "<a><CameraMatrix><data>1 2</data></a>"],
)
def test_damaged_rich_calibrations_are_refused(tmp_path, text):
    published.rich(tmp_path)
    path = tmp_path / "scan_calibration" / "Gym" / "calibration" / "001.xml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"001\.xml"):
        open_rich(tmp_path)


def test_what_is_missing_is_named_with_the_layout_and_where_to_register(tmp_path):
    readers = {open_threedpw: "3DPW", lambda root: open_emdb(root, 1): "emdb", open_rich: "rich"}
    for read, place in readers.items():
        for folder in (tmp_path / "nowhere", tmp_path):
            with pytest.raises(InputError, match=f"(?s)Expected.*{place}.*registration"):
                read(folder)
    published.rich(tmp_path)
    (tmp_path / "gender.json").write_text("{}")
    with pytest.raises(InputError, match="no gender of subject 010"):
        open_rich(tmp_path)


class _Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_pickle_is_run(tmp_path):
    path = published.threedpw(tmp_path, cam_intrinsics=_Hostile(tmp_path / "made"))
    with pytest.raises(InputError, match="cam_intrinsics"):
        open_threedpw(tmp_path)
    assert not (tmp_path / "made").exists()
    pickle.loads(path.read_bytes())
    assert (tmp_path / "made").exists(), "this is what it would have done"
    for content in (b"", b"no pickle", pickle.dumps([1, 2]), path.read_bytes()[:500]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=re.escape(path.name)):
            open_threedpw(tmp_path)


def test_sparse_matrices_come_through_as_such(tmp_path):
    dense = np.zeros((5, 7))
    dense[1, 2], dense[4, 6] = 3, -1
    for kind in (csc_matrix, csr_matrix):
        path = published.pickled(tmp_path / "matrix.pkl", {"matrix": kind(dense), "n": [1, {}]})
        found = read_pickled(path, "")
        assert isinstance(found["matrix"], csr_matrix)
        assert np.array_equal(found["matrix"].toarray(), dense)
        assert found["n"] == [1, {}]
    bad = csc_matrix(dense)
    bad.indices[0] = 99
    path = published.pickled(tmp_path / "matrix.pkl", {"matrix": bad})
    assert not isinstance(read_pickled(path, "")["matrix"], csr_matrix)
