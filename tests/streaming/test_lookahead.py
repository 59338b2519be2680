"""Looking one frame ahead changes nothing but the time it takes."""

import threading
from contextlib import closing

import numpy as np
import pytest
import torch

from human3r.config import Settings
from human3r.errors import InputError
from human3r.io.frame_files import frame_arrays
from human3r.model.network import Encoded
from human3r.pipeline import Pipeline
from human3r.streaming.lookahead import look_ahead
from human3r.streaming.session import Prepared
from human3r.types import Frame, ImageGeometry

_CPU = torch.device("cpu")


def _prepared(frame: Frame) -> Prepared:
    tokens = torch.zeros(1, 1, 1)
    geometry = ImageGeometry(8, 8, 8, 8, 0, 0, 8, 8)
    return Prepared(frame.stamp_ns, frame.image, geometry, Encoded(tokens, tokens, 8, 8), {})


@pytest.fixture
def pipeline(small_network, body_model):
    def make(**changes) -> Pipeline:
        settings = {"people.min_score": 0.02, "session.reset_interval": 2} | changes
        return Pipeline(small_network, body_model, Settings().replace(settings))

    return make


@pytest.mark.parametrize("execution", ["eager", "static"])
def test_answers_are_the_same_bit_for_bit(pipeline, golden_frames, make_frames, execution):
    frames = make_frames(golden_frames[:3])
    plain, ahead = (pipeline(**{"model.execution": execution}) for _ in range(2))
    want = [plain.step(frame) for frame in frames]
    got = [ahead.step(*pair) for pair in ahead.looking_ahead(frames)]
    assert len(got) == len(want) == 3
    for one, other in zip(got, want, strict=True):
        a, b = frame_arrays(one), frame_arrays(other)
        assert a.keys() == b.keys()
        for name, value in a.items():
            assert np.array_equal(value, b[name], equal_nan=True), name
        assert one.timings_s.keys() == other.timings_s.keys()


def test_the_next_frame_is_under_way_while_one_is_in_use(make_frames):
    images = np.zeros((3, 8, 8, 3), np.uint8)
    frames = make_frames(images)
    begun = {frame.stamp_ns: threading.Event() for frame in frames}

    def prepare(frame):
        begun[frame.stamp_ns].set()
        return _prepared(frame)

    with closing(look_ahead(frames, prepare, _CPU)) as ahead:
        frame, prepared = next(ahead)
        assert frame is frames[0]
        assert prepared.stamp_ns == frame.stamp_ns
        assert begun[frames[1].stamp_ns].wait(10)
        assert not begun[frames[2].stamp_ns].is_set()


def test_errors_come_in_their_frames_turn(pipeline, golden_frames, make_frames):
    good = make_frames(golden_frames[:2])

    def broken_source():
        yield from good
        raise InputError("the third frame cannot be read")

    ahead = look_ahead(broken_source(), _prepared, _CPU)
    assert [next(ahead)[0], next(ahead)[0]] == good
    with pytest.raises(InputError, match="third frame"):
        next(ahead)

    def prepare(frame):
        if frame is good[1]:
            raise InputError("the second image is unusable")
        return _prepared(frame)

    ahead = look_ahead(good, prepare, _CPU)
    assert next(ahead)[0] is good[0]
    with pytest.raises(InputError, match="second image"):
        next(ahead)


def test_too_large_images_are_refused_before_any_work(pipeline, golden_frames, make_frames):
    small = pipeline(**{"input.max_pixels": 4096})
    with pytest.raises(InputError, match=r"input\.max_pixels"):
        next(small.looking_ahead(make_frames(golden_frames[:1])))


def test_what_was_made_of_another_frame_is_refused(pipeline, golden_frames, make_frames):
    made = pipeline()
    first, second = make_frames(golden_frames[:2])
    with pytest.raises(InputError, match="expected the same frame"):
        made.step(second, made.session.prepare(first))
    assert made.session.frame_index == 0


def test_nothing_runs_on_after_closing(make_frames):
    frames = make_frames(np.zeros((3, 8, 8, 3), np.uint8))
    ahead = look_ahead(frames, _prepared, _CPU)
    next(ahead)
    ahead.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("human3r-ahead")]
