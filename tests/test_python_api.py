"""What a program of somebody else sees: plain images, one call, helpers, words, errors."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import human3r
from human3r import Frame, Intrinsics, PersonEstimate, Pipeline, Settings
from human3r.config import PeopleSettings
from human3r.demo_clip import demo_clip_path
from human3r.errors import ConfigError, Human3RError, InputError
from human3r.io import open_source
from human3r.io.stream_rules import ImageStamps

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.fixture(scope="module")
def images():
    """Four images of the demo clip, a third of a second apart, in which two people walk."""
    with open_source(demo_clip_path(), every=3, max_frames=4) as source:
        return [frame.image for frame in source]


@pytest.fixture(scope="module")
def pipeline():
    made = Pipeline.from_settings()
    yield made
    made.close()


def test_plain_images_are_stepped_as_if_a_camera_took_them(pipeline, images):
    pipeline.reset()
    pipeline.images.rate_hz = 10.0
    first, second = (pipeline.step(image) for image in images[:2])
    assert second.stamp_ns - first.stamp_ns == 100_000_000
    assert first.people
    # A frame with a stamp may follow; the next image comes after it.
    stamped = pipeline.step(Frame(images[2], second.stamp_ns + 500_000_000))
    assert pipeline.step(images[3]).stamp_ns == stamped.stamp_ns + 100_000_000


def test_frames_looked_at_ahead_keep_their_stamps():
    stamps, image = ImageStamps(100.0), np.zeros((4, 4, 3), np.uint8)
    first = stamps.frame_of(image)
    second = stamps.frame_of(image)
    assert stamps.frame_of(first) is first
    found = [one.stamp_ns for one in (first, second, stamps.frame_of(image))]
    assert found == [0, 10_000_000, 20_000_000]


def test_one_call_takes_arrays_lists_frames_and_files(pipeline, images):
    k = Intrinsics.from_fov(67.0, 640, 480)
    given = (
        np.stack(images[:2]),
        images[:2],
        (image for image in images[:2]),
        [Frame(image, 10**9 * number) for number, image in enumerate(images[:2])],
    )
    found = [list(human3r.run(one, intrinsics=k, pipeline=pipeline)) for one in given]
    found.append(list(human3r.run(demo_clip_path(), every=3, max_frames=2, intrinsics=k,
                                  pipeline=pipeline)))  # fmt: skip
    for estimates in found:
        assert len(estimates) == 2
        assert len({estimate.session for estimate in estimates}) == 1
        assert all(estimate.calibrated == k for estimate in estimates)
        np.testing.assert_allclose(
            estimates[0].people[0].joints_camera, found[0][0].people[0].joints_camera, atol=1e-5
        )
    assert found[0][1].stamp_ns == round(1e9 / 30)


def test_points_of_people_are_given_in_the_world(pipeline, images):
    *_, last = human3r.run(
        images, intrinsics=Intrinsics.from_fov(67.0, 640, 480), pipeline=pipeline
    )
    pose = last.world_from_camera
    assert not np.allclose(pose, np.eye(4))
    for person in (*last.people, *(one.person for one in last.tracked)):
        back = (person.joints_world.astype(np.float64) - pose[:3, 3]) @ pose[:3, :3]
        np.testing.assert_allclose(back, person.joints_camera, atol=1e-4)
        assert person.vertices_world.shape == person.vertices_camera.shape
        np.testing.assert_allclose(person.head_world, person.joints_world[15], atol=1e-3)


def test_the_networks_own_camera_has_a_name_of_its_own(pipeline, images):
    k = Intrinsics.from_fov(90.0, 640, 480)
    (estimate,) = human3r.run(images[0], intrinsics=k, pipeline=pipeline)
    assert estimate.source_camera == k
    assert estimate.intrinsics.fov_deg == pytest.approx(90.0, abs=1.0)
    own = estimate.estimated_intrinsics
    assert (own.width_px, own.height_px) == (640, 480)
    assert own.fx == pytest.approx(estimate.estimated_source_focal_px)
    assert own.fx != pytest.approx(k.fx, rel=0.02)


def test_what_is_printed_says_something(pipeline, images):
    (estimate,) = human3r.run(images[0], pipeline=pipeline)
    assert "landmarks" in repr(pipeline)
    assert "2 people" in repr(estimate)
    assert "px estimated" in repr(estimate)
    assert f"id {estimate.people[0].track_id}" in repr(estimate.people[0])
    assert "m" in repr(estimate.people[0].body)
    assert "OK" in repr(estimate.tracked[0]) or "NEW" in repr(estimate.tracked[0])
    assert "on people" in repr(pipeline.points(estimate))
    assert repr(Frame(images[0], 1_500_000_000)) == "Frame(640x480, at 1.500 s, uncalibrated)"
    assert repr(Settings()) == "Settings(all defaults)"
    assert repr(Settings().replace(people={"min_score": 0.5})) == "Settings(people.min_score=0.5)"
    with open_source(demo_clip_path()) as source:
        assert "100 frames" in repr(source)
    assert all(len(repr(one)) < 250 for one in (estimate, estimate.tracked[0], pipeline))


def test_settings_are_keyword_arguments_too():
    by_name = Settings().replace({"people.max_regions": 2, "scene.every": 3})
    assert Settings().replace(people={"max_regions": 2}, scene={"every": 3}) == by_name
    assert Settings().replace({"scene.every": 3}, people=PeopleSettings(max_regions=2)) == by_name
    with pytest.raises(ConfigError, match="expected PeopleSettings"):
        Settings(people={"max_regions": 2})
    for wrong in ({"people": 2}, {"peeple": {"max_regions": 2}}, {"people": {"max_region": 2}}):
        with pytest.raises(ConfigError, match=r"expected|did you mean"):
            Settings().replace(**wrong)
    with pytest.raises(ConfigError, match="names and values"):
        Settings().replace("people.max_regions=2")


def test_no_more_people_than_asked_for_are_given_and_the_others_counted(pipeline, images):
    before = pipeline.settings
    pipeline.reset()
    assert len(pipeline.step(images[0]).people) == 2
    pipeline.apply(before.replace(people={"max_count": 1}))
    try:
        estimate = pipeline.step(images[1])
    finally:
        pipeline.apply(before)
    assert (len(estimate.people), estimate.num_left_out) == (1, 1)


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (lambda p: p.step("clip.mp4"), "frame is str; expected a Frame or an image"),
        (lambda p: p.step(np.zeros((480, 640, 3))), "uint8 with shape"),
        (lambda p: p.step(np.zeros((3, 480, 640), np.uint8)), "uint8 with shape"),
        (lambda p: next(human3r.run([1.5], pipeline=p)), "frame is float"),
        (lambda p: next(human3r.run([], pipeline=p)), "no frame in it"),
        (lambda p: human3r.run(1.5), "source is float"),
        (lambda p: human3r.run("nothing.mp4"), r"nothing\.mp4: no such file"),
        (lambda p: human3r.run(np.zeros((4, 4), np.uint8)), "an array of shape"),
        (lambda p: human3r.run("a.mp4", pipeline=p, people={}), "settings of its own"),
        (lambda p: human3r.run([], rate_hz=-1.0), "images per second"),
        (lambda p: human3r.run([], rate_hz="30"), "rate_hz is '30'; expected a number"),
        (lambda p: human3r.run([], every=1.5), r"every is 1\.5; expected a whole number"),
        (lambda p: human3r.run([], max_frames=None), "max_frames is None; expected a whole"),
        (lambda p: human3r.run([], settings={}), "settings is dict; expected Settings"),
        (lambda p: human3r.run([], intrinsics="c.yaml"), r"str; .*read_intrinsics\('c\.yaml'\)"),
        (lambda p: human3r.run([], intrinsics=np.eye(3)), "ndarray; .* Intrinsics.from_matrix"),
        (lambda p: human3r.run([], intrinsics=[[1, 0, 0]]), "list; .* Intrinsics.from_matrix"),
        (lambda p: human3r.run([], intrinsics=70), "int; .* Intrinsics.from_fov"),
        (lambda p: open_source("a.mp4", camera=70), "int; .* Intrinsics.from_fov"),
        (lambda p: Pipeline.from_settings(poeple=1), "poeple is 1; expected a section"),
        (lambda p: Pipeline.from_settings("fast"), "settings is str; expected Settings"),
        (lambda p: open_source(1.5), "source is float"),
        (lambda p: PersonEstimate(1, 1.0, *[np.zeros(3)] * 4).joints_world, "Pipeline.step"),
    ],
)  # fmt: skip
def test_wrong_types_are_answered_with_what_was_expected(pipeline, misuse, message):
    with pytest.raises(Human3RError, match=message):
        misuse(pipeline)


def test_a_rate_that_is_none_is_refused():
    with pytest.raises(InputError, match="above 0"):
        ImageStamps(0.0).frame_of(np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if number else [])
        for number, path in enumerate(EXAMPLES)
    ],
)
def test_examples_run_without_arguments(path, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    assert "person 0" in capsys.readouterr().out


def test_there_are_examples():
    assert len(EXAMPLES) >= 4
