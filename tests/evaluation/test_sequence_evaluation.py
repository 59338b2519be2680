"""What a sequence's numbers say about estimates whose faults are known."""

import dataclasses

import numpy as np
import pytest
from human3r_lab.evaluation.depth_pairs import DepthPairs
from human3r_lab.evaluation.measures import MEASURES, numbers
from human3r_lab.evaluation.runner import evaluate
from human3r_lab.evaluation.truth import FreeBodyScheme

from human3r.config import Settings
from human3r.errors import OutputError
from human3r.pipeline import Pipeline
from human3r.streaming.people import StreamPeople
from human3r.tracking.tracks import Tracker
from tests.evaluation.small_world import (
    Told,
    ToldPipeline,
    ToldSequence,
    evaluated,
    free_body,
    view,
    walk,
    world_from_camera,
)

FRAMES = 8


@pytest.fixture(scope="module")
def truths():
    return walk(FRAMES)


def measured(truths, told=None):
    done = evaluated(truths, told)
    return numbers(done.results), done.results[0].counts


def test_the_truth_has_no_errors(truths):
    found, counts = measured(truths)
    for name in ("mpjpe_mm", "pve_mm", "root_error_mm", "head_error_m", "joint_error_px"):
        assert found[name] == pytest.approx(0, abs=1e-2), name
    for name in ("wa_mpjpe_mm", "w_mpjpe_mm", "rte_percent", "sole_height_error_mm"):
        assert found[name] == pytest.approx(0, abs=1e-2), name
    for name in ("abs_rel", "ate_m", "rpe_deg", "drift_m", "focal_error_percent"):
        assert found[name] == pytest.approx(0, abs=1e-4), name
    for name in ("precision", "recall", "f1", "idf1", "mask_iou", "delta_1"):
        assert found[name] == 1, name
    for name in ("person_scale", "depth_scale", "camera_scale"):
        assert found[name] == pytest.approx(1, abs=1e-5), name
    assert found["sole_to_surface_mm"] < 5
    assert counts["people_matched"] == 2 * FRAMES
    assert counts["id_switches"] == 0


def test_people_too_far_away_keep_their_pose_but_not_their_place(truths):
    found, _ = measured(truths, Told(head_shift_m=(0, 0, 0.2)))
    assert found["mpjpe_mm"] == pytest.approx(0, abs=1e-2)
    assert found["absolute_mpjpe_mm"] == pytest.approx(200, abs=0.1)
    assert found["root_error_mm"] == pytest.approx(200, abs=0.1)
    assert found["head_error_m"] == pytest.approx(0.2, abs=1e-4)
    assert 3 < found["root_error_percent"] < 7, "20 cm at four metres"
    assert found["person_scale"] < 1
    assert found["abs_rel"] == pytest.approx(0, abs=1e-4), "the scene is as it was"


def test_a_world_of_half_the_size_is_seen_as_such(truths):
    found, _ = measured(truths, Told(scale=0.5))
    assert found["depth_scale"] == pytest.approx(2, rel=1e-3)
    assert found["camera_scale"] == pytest.approx(2, rel=1e-3)
    assert found["abs_rel"] == pytest.approx(0.5, rel=1e-3)
    assert found["abs_rel_scale"] == pytest.approx(0, abs=1e-3)
    assert found["abs_rel_median"] == pytest.approx(0, abs=1e-3)
    assert found["ate_m"] == pytest.approx(0, abs=1e-4)
    assert found["drift_m"] > 0.1


def test_people_who_sink_into_the_floor_are_noticed(truths):
    found, _ = measured(truths, Told(head_shift_m=(0, 0.1, 0)))
    assert found["sole_height_error_mm"] == pytest.approx(100, abs=0.1)
    assert found["sole_to_surface_mm"] == pytest.approx(100, abs=3)


def test_missed_and_invented_people_count(truths):
    found, counts = measured(truths, Told(missed=(2,), invented=3))
    assert found["recall"] == 0.5
    assert found["precision"] == 0.25
    assert counts["people_missed"] == FRAMES
    assert counts["people_false"] == 3 * FRAMES
    assert found["idf1"] == pytest.approx(2 * FRAMES / (4 * FRAMES + 2 * FRAMES))
    assert found["mpjpe_mm"] == pytest.approx(0, abs=1e-2), "errors are of matched people only"


def test_a_failed_frame_is_counted_and_its_people_are_missed(truths):
    done = evaluated(truths, Told(failing=(1, 2)))
    (result,) = done.results
    assert result.frames == FRAMES
    assert result.frames_failed == 2
    assert result.counts["people_missed"] == 4
    assert numbers([result])["recall"] == pytest.approx(1 - 2 / FRAMES)
    assert result.error == ""


def test_a_network_that_always_fails_gives_no_errors_but_finds_nobody(truths):
    done = evaluated(truths, Told(failing=tuple(range(FRAMES))))
    found = numbers(done.results)
    assert found["recall"] == 0
    assert found["mpjpe_mm"] is None
    assert found["abs_rel"] is None
    assert done.results[0].frames_failed == FRAMES


def test_bodies_that_are_not_finite_count_as_false(truths):
    found, counts = measured(truths, Told(not_finite=(1,)))
    assert counts["people_not_finite"] == FRAMES
    assert counts["people_false"] == FRAMES
    assert counts["people_missed"] == FRAMES
    assert found["mpjpe_mm"] == pytest.approx(0, abs=1e-2)


def test_swapped_numbers_are_two_switches_each_time(truths):
    swapped = {number: {1: 2, 2: 1} for number in range(4, FRAMES)}
    found, counts = measured(truths, Told(track_of=swapped))
    assert counts["id_switches"] == 2
    assert found["id_switches_per_1000_frames"] == 250
    assert found["id_switches_per_1000_people_frames"] == 125
    assert found["idf1"] == 0.5
    back, counts = measured(truths, Told(track_of={4: {1: 2, 2: 1}}))
    assert counts["id_switches"] == 4
    assert back["idf1"] == pytest.approx(1 - 1 / FRAMES)


def test_switches_are_those_of_the_published_ids(truths):
    """A person the network takes for another goes on under one number, and that is what counts."""

    class Published(ToldPipeline):
        def __init__(self, *given):
            super().__init__(*given)
            self._people = StreamPeople(free_body(), Tracker(), None)

        def step(self, frame):
            return self._people.update(super().step(frame), self.settings)

    told = Told(track_of={number: {1: 7} for number in range(4, FRAMES)})
    assert measured(truths, told)[1]["id_switches"] == 1
    sequence, pipeline = ToldSequence("walk", truths), Published(truths, told)
    (result,) = evaluate([sequence], pipeline, FreeBodyScheme(free_body())).results
    assert result.counts["id_switches"] == 0


def test_people_out_of_sight_need_not_be_found_but_may():
    hidden, aside = 2, 3
    truths = [view({1: (3, 0), hidden: (6, 0), aside: (4, 9)})]
    scheme = FreeBodyScheme(free_body())
    people = scheme.true_view(truths[0]).people
    assert people.is_counted.tolist() == [True, False, False]
    assert people.visible_share[1] < 0.1
    assert people.inside_share[2] == 0
    found, counts = measured(truths)
    assert (found["precision"], found["recall"]) == (1, 1)
    # Whoever stands beside the image has no joints in it, yet matches themselves.
    assert counts["people_ignored"] == 2
    _, counts = measured(truths, Told(missed=(hidden, aside)))
    assert counts["people_missed"] == 0


def test_a_body_cut_by_the_border_is_partly_inside():
    people = FreeBodyScheme(free_body()).true_view(view({1: (1.2, 0)})).people
    assert 0.2 < people.inside_share[0] < 0.8
    assert people.visible_share[0] > 0.9


def test_errors_are_told_apart_by_distance(truths):
    near, far = view({1: (2.5, 0)}), view({1: (5.5, 0)}, number=1)
    done = evaluated([near, far], Told(head_shift_m=(0, 0, 0.1)))
    steps = done.results[0].curves["distance"]["root_error_percent"]
    assert [step is not None for step in steps] == [False, True, False, False, True, False, False]
    assert steps[1].value == pytest.approx(100 * 0.1 / 2.5, rel=0.15)
    assert steps[4].value == pytest.approx(100 * 0.1 / 5.5, rel=0.15)
    recall = done.results[0].curves["visible"]["recall"]
    assert sum(step.weight for step in recall if step) == 2


@pytest.mark.parametrize("turn_deg", [-170, -91, -60, 5, 45, 89, 91, 180])
def test_a_turned_body_has_that_facing_error(truths, turn_deg):
    found, _ = measured(truths[:3], Told(turn_rad=np.radians(turn_deg)))
    assert found["facing_median_deg"] == pytest.approx(abs(turn_deg), abs=0.26)
    assert found["facing_over_90_percent"] == (100 if abs(turn_deg) > 90 else 0)
    steps = evaluated(truths[:1], Told(turn_rad=np.radians(turn_deg))).results[0].curves
    values = [step.value for step in steps["height"]["facing_median_deg"] if step]
    assert values == pytest.approx(len(values) * [abs(turn_deg)], abs=0.26)


def test_who_leans_faces_where_they_did(truths):
    found, _ = measured(truths, Told(lean_rad=0.5))
    assert found["facing_median_deg"] == pytest.approx(0, abs=0.26)
    assert found["mpjpe_mm"] > 50


def test_the_truth_of_other_bodies_says_nothing_about_facing(truths):
    class OtherBodies(FreeBodyScheme):
        def true_view(self, view):
            found = super().true_view(view)
            people = dataclasses.replace(found.people, root_rotations=None, statures_m=None)
            return dataclasses.replace(found, people=people)

    sequence = ToldSequence("walk", truths, scheme=OtherBodies(free_body()))
    (result,) = evaluate([sequence], ToldPipeline(truths), sequence.scheme).results
    assert numbers([result])["facing_median_deg"] is None
    assert numbers([result])["facing_over_90_percent"] is None
    assert not any(step for steps in result.curves["stature"].values() for step in steps)
    assert any(result.curves["height"]["recall"])


def test_an_empty_room_measures_the_scene_alone():
    truths = [view({}, world_from_camera(0.1 * n), n) for n in range(3)]
    found, counts = measured(truths)
    assert counts["people_matched"] == counts["people_missed"] == 0
    assert found["recall"] is None
    assert found["f1"] is None
    assert found["abs_rel"] == pytest.approx(0, abs=1e-4)


def test_a_short_path_has_no_scale_and_no_percentage():
    truths = [view({}, world_from_camera(0.01 * n), n) for n in range(3)]
    found, _ = measured(truths)
    assert found["ate_percent"] is None
    assert found["camera_scale"] is None
    assert found["ate_m"] is not None


def test_camera_errors_are_compared_with_the_covariance_of_each_frame():
    class Sure(ToldPipeline):
        """The camera stays where it was; it owns up to that from the second frame on."""

        def step(self, frame):
            found = super().step(frame)
            stddev = np.repeat([0.05 * self._number, 0.01], 3) * (self._number > 0)
            self._number += 1
            return dataclasses.replace(
                found, world_from_camera=np.eye(4), camera_covariance=np.diag(stddev**2)
            )

        _number = 0

    truths = [view({}, world_from_camera(0.1 * n), n) for n in range(4)]
    done = evaluate([ToldSequence("empty", truths)], Sure(truths), FreeBodyScheme(free_body()))
    found = numbers(done.results)
    # 10 cm per frame, of which 5 cm along each axis were owned up to.
    assert found["position_in_stddev"] == pytest.approx(2 / np.sqrt(3), rel=1e-6)
    assert found["rotation_in_stddev"] == pytest.approx(0, abs=1e-6)


def test_a_damaged_sequence_keeps_what_came_before_and_the_others_go_on(truths):
    pipeline = ToldPipeline(truths)
    sequences = [ToldSequence("broken", truths, breaks_after=3), ToldSequence("whole", truths)]
    done = evaluate(sequences, pipeline, FreeBodyScheme(pipeline.body_model))
    broken, whole = done.results
    assert broken.frames == 3
    assert "damaged" in broken.error
    assert (whole.frames, whole.error) == (FRAMES, "")
    assert pipeline.num_resets == 2


def test_a_full_disk_ends_the_evaluation(truths, monkeypatch):
    def full(self, predicted_m, true_m):
        raise OutputError("the disk is full")

    monkeypatch.setattr(DepthPairs, "add", full)
    with pytest.raises(OutputError, match="full"):
        evaluated(truths)


def test_numbers_that_are_not_finite_are_said(truths):
    class Absurd(ToldPipeline):
        def step(self, frame):
            found = super().step(frame)
            points = np.full_like(found.points_camera, 3e38)
            return dataclasses.replace(found, points_camera=points)

    sequence, scheme = ToldSequence("walk", truths), FreeBodyScheme(free_body())
    (result,) = evaluate([sequence], Absurd(truths), scheme).results
    assert "Not finite" in result.error
    assert "abs_rel_scale" in result.error
    assert "abs_rel_scale" not in result.means
    assert all(np.isfinite(m.value) for m in result.means.values())


def test_an_interrupted_sequence_is_left_out(truths):
    pipeline = ToldPipeline(truths)
    asked = iter([False] * (FRAMES + 4) + [True] * 99)
    done = evaluate(
        [ToldSequence("first", truths), ToldSequence("second", truths)],
        pipeline,
        FreeBodyScheme(pipeline.body_model),
        is_asked_to_stop=lambda: next(asked),
    )
    assert done.was_interrupted
    assert [result.name for result in done.results] == ["first"]


def test_numbers_over_sequences_weigh_people_and_pixels(truths):
    pipeline_of = [ToldPipeline(truths, Told(head_shift_m=(0, 0, 0.1))), ToldPipeline(truths[:4])]
    results = [
        evaluate([ToldSequence(str(n), p._views and t)], p, FreeBodyScheme(p.body_model)).results[0]
        for n, (p, t) in enumerate(zip(pipeline_of, (truths, truths[:4]), strict=True))
    ]
    pooled = numbers(results)
    assert pooled["root_error_mm"] == pytest.approx(100 * 8 / 12, rel=1e-3)
    assert set(pooled) == set(MEASURES)


def test_the_real_pipeline_runs_through_it(small_network, truths):
    settings = Settings().replace({"people.min_score": 0.02})
    pipeline = Pipeline(small_network, free_body(), settings)
    done = evaluate([ToldSequence("walk", truths[:3])], pipeline, FreeBodyScheme(free_body()))
    (result,) = done.results
    found = numbers([result])
    assert result.frames == done.frames == 3
    assert done.network_s > 0
    assert found["abs_rel"] > 0
    assert found["recall"] is not None
    assert result.counts["people_matched"] + result.counts["people_missed"] == 6
    assert result.counts["people_false"] + result.counts["people_matched"] > 0
    assert all(np.isfinite(m.value) for m in result.means.values())
    assert dataclasses.asdict(result)["error"] == ""
