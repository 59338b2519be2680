"""Errors of fused people against the truth, counted by hand on made-up numbers."""

import pytest
from human3r_lab.evaluation.multiview import SceneErrors, overall, scenes, summary

from human3r.errors import InputError


def errors():
    found = SceneErrors()
    # Person 1 is best before camera 0, person 2 before camera 1; each has two frames.
    found.w["camera0"] = {(0, 1): 0.2, (1, 1): 0.2, (0, 2): 0.9, (1, 2): 0.9}
    found.w["camera1"] = {(0, 1): 0.5, (1, 1): 0.5, (0, 2): 0.4, (1, 2): 0.4}
    for name, value in (("weighted", 0.15), ("mean", 0.3), ("triangulation", 0.2)):
        found.w[name] = dict.fromkeys(found.w["camera0"], value)
    found.pairs_right, found.pairs_found, found.pairs_true = 9, 10, 12
    return found


def test_the_best_camera_is_chosen_for_every_person():
    numbers = summary(errors())
    assert numbers["w_m"]["best camera"] == pytest.approx(0.3)
    assert numbers["w_m"]["weighted"] == pytest.approx(0.15)
    assert numbers["instances"] == 4
    assert numbers["id_precision"] == pytest.approx(0.9)
    assert numbers["id_recall"] == pytest.approx(0.75)


def test_methods_are_compared_where_all_of_them_know_the_person():
    found = errors()
    del found.w["weighted"][1, 2]
    numbers = summary(found)
    assert numbers["instances"] == 3
    assert numbers["w_m"]["best camera"] == pytest.approx((0.2 + 0.2 + 0.4) / 3)


def test_the_gain_over_the_best_camera():
    document = overall({"a": summary(errors())})
    assert document["gain_over_best_camera"] == pytest.approx(0.5)
    assert overall({"a": summary(SceneErrors())})["gain_over_best_camera"] is None


class File:
    def __init__(self, scene, camera, cameras=2, frames=4):
        self.metadata = {"scene": scene, "camera": camera, "cameras": cameras}
        self._frames = frames

    def __len__(self):
        return self._frames


def test_files_are_put_together_by_scene():
    found = scenes([File("b", 1), File("a", 0), File("b", 0), File("a", 1)])
    assert list(found) == ["a", "b"]
    assert [f.metadata["camera"] for f in found["b"]] == [0, 1]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([File("a", 0, cameras=1)], "no scene with several cameras"),
        ([File("a", 0)], "expected 2"),
        ([File("a", 0), File("a", 1, frames=5)], "of one length"),
    ],
)
def test_scenes_that_lack_something_are_told(files, said):
    with pytest.raises(InputError, match=said):
        scenes(files)
