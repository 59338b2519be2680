"""What a stream promises: order, resets, memory, failures, saved sessions."""

import contextlib
import dataclasses

import numpy as np
import pytest
import torch

from human3r.config import Settings
from human3r.errors import InputError, NonFiniteError, OutputError, ShapeError, StreamOrderError
from human3r.geometry import chain_segments
from human3r.pipeline import Pipeline
from human3r.streaming.session import StreamSession
from human3r.types import Frame, FrameEstimate

_SMALL = {"people.min_score": 0.02, "people.forget_s": 0.0}


@pytest.fixture
def session(small_network, body_model):
    """Make a session over small images; keywords with __ for dots change settings."""

    def make(body=body_model, **changes) -> StreamSession:
        named = {key.replace("__", "."): value for key, value in changes.items()}
        return StreamSession(small_network, body, Settings().replace(_SMALL | named))

    return make


@pytest.fixture
def tiny_session(tiny_network, body_model):
    """Make a session over golden-sized images, in which several people are found."""

    def make(**changes) -> StreamSession:
        named = {key.replace("__", "."): value for key, value in changes.items()}
        return StreamSession(
            tiny_network, body_model, Settings().replace({"people.forget_s": 0.0} | named)
        )

    return make


@pytest.fixture
def frames(golden_frames, make_frames):
    return make_frames(golden_frames)


def test_heads_lie_in_the_direction_of_their_pixels(tiny_session, frames):
    as_said, moved = (
        tiny_session(people__place=place).push(frames[0]) for place in ("auto", "pixel")
    )
    camera = moved.intrinsics
    in_front = 0
    for said, person in zip(as_said.people, moved.people, strict=True):
        x, y, z = person.body.head_camera
        assert z == said.body.head_camera[2]
        if z <= 0:
            assert np.array_equal(person.body.head_camera, said.body.head_camera)
            continue
        in_front += 1
        network_px = [camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy]
        seen = moved.geometry.source_from_network(np.array(network_px))
        assert np.allclose(seen, person.head_px, atol=0.01)
        joints = person.joints_camera - said.joints_camera
        assert np.allclose(joints, person.body.head_camera - said.body.head_camera, atol=1e-5)
        assert not np.allclose(person.body.head_camera, said.body.head_camera, atol=0.01)
    assert in_front


def test_our_network_places_heads_by_their_pixels_and_others_as_published(frames):
    def place(**changes):
        values = {"people.min_score": 0.01, "people.source": "network", **changes}
        settings = Settings().replace(values)
        with contextlib.closing(Pipeline.from_settings(settings)) as pipeline:
            return [tuple(p.body.head_camera) for p in pipeline.step(frames[0]).people]

    ours = place()
    assert ours
    assert ours == place(**{"people.place": "pixel"})
    assert ours != place(**{"people.place": "network"})


def _same(a: FrameEstimate, b: FrameEstimate) -> bool:
    numbers = ("points_camera", "confidence", "person_probability", "world_from_camera", "image")
    return (
        all(np.array_equal(getattr(a, name), getattr(b, name)) for name in numbers)
        and (a.stamp_ns, a.frame_index, a.intrinsics) == (b.stamp_ns, b.frame_index, b.intrinsics)
        and [p.track_id for p in a.people] == [p.track_id for p in b.people]
        and all(
            np.array_equal(p.joints_camera, q.joints_camera)
            and np.array_equal(p.body.rotations, q.body.rotations)
            for p, q in zip(a.people, b.people, strict=True)
        )
    )


def _states_equal(a: StreamSession, b: StreamSession) -> bool:
    x, y = a._state, b._state
    return (
        torch.equal(x.recurrent.tokens, y.recurrent.tokens)
        and torch.equal(x.recurrent.memory, y.recurrent.memory)
        and x.recurrent.is_first == y.recurrent.is_first
        and np.array_equal(x.tracks.tokens, y.tracks.tokens)
        and np.array_equal(x.tracks.track_ids, y.tracks.track_ids)
        and np.array_equal(x.tracks.seen_ns, y.tracks.seen_ns)
        and x.tracks.next_id == y.tracks.next_id
        and np.array_equal(x.world_from_segment, y.world_from_segment)
        and np.array_equal(x.world_from_camera, y.world_from_camera)
        and (x.session, x.frame_index, x.last_stamp_ns, x.image_size_px)
        == (y.session, y.frame_index, y.last_stamp_ns, y.image_size_px)
    )


def test_an_estimate_says_everything_in_the_promised_form(tiny_session, frames, body_model):
    estimate = tiny_session().push(frames[0])
    assert (estimate.stamp_ns, estimate.session, estimate.frame_index) == (frames[0].stamp_ns, 0, 0)
    assert estimate.image.shape == estimate.points_camera.shape == (96, 160, 3)
    assert estimate.image.dtype == np.uint8
    for array in (estimate.points_camera, estimate.confidence, estimate.person_probability):
        assert array.dtype == np.float32
        assert array.flags["C_CONTIGUOUS"]
        assert array.shape[:2] == (96, 160)
    assert estimate.confidence.min() >= 1
    assert 0 <= estimate.person_probability.min() <= estimate.person_probability.max() <= 1
    pose = estimate.world_from_camera
    assert pose.dtype == np.float64
    assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert (estimate.intrinsics.width_px, estimate.intrinsics.height_px) == (160, 96)
    assert estimate.points_world is None
    assert set(estimate.timings_s) == {"preprocess", "network", "bodies", "geometry"}
    assert len(estimate.people) == 7
    for person in estimate.people:
        assert 0.3 <= person.score <= 1
        assert person.head_px.shape == (2,)
        assert person.head_px.dtype == np.float32
        assert person.body.rotations.shape == (53, 3, 3)
        assert person.body.betas.shape == person.body.expression.shape == (10,)
        assert person.joints_camera.shape == (len(body_model.joint_names), 3)
        assert person.vertices_camera.shape == (300, 3)
        assert person.joints_camera.dtype == person.vertices_camera.dtype == np.float32
        # The head joint is where the network puts the head.
        assert np.allclose(person.joints_camera[15], person.body.head_camera, atol=1e-4)
    rows = [p.head_px[1] for p in estimate.people]
    assert max(rows) > min(rows)


def test_heads_lie_where_the_tokens_do_in_source_pixels(tiny_session, frames):
    """Against the recipe of the square image, written out."""
    one = tiny_session()
    estimate = tiny_session().push(frames[0])
    (view,) = one.push_views(frames[0])
    square = view.output.detections.head_square_px.numpy()
    network = square * (160 / 224) - np.array([0, 32]) - 0.5
    geometry = estimate.geometry
    source = (network + [geometry.crop_left_px, geometry.crop_top_px] + 0.5) * (
        330 / 160,
        200 / geometry.resized_height_px,
    ) - 0.5
    assert np.allclose([p.head_px for p in estimate.people], source, atol=1e-3)


def test_frame_by_frame_equals_raw_views(session, frames):
    one, other = session(), session()
    for frame in frames[:3]:
        estimate = one.push(frame)
        (view,) = other.push_views(frame)
        assert np.array_equal(estimate.points_camera, view.output.points_camera.numpy())
        assert np.array_equal(estimate.world_from_camera, view.world_from_camera)
        assert [p.track_id for p in estimate.people] == view.track_ids.tolist()
    assert _states_equal(one, other)


def test_two_sessions_on_one_network_do_not_disturb_each_other(session, frames):
    alone = session().push(frames[0])
    one, other = session(), session()
    other.push(frames[3])
    assert _same(one.push(frames[0]), alone)


def test_a_reset_session_answers_like_a_fresh_one(session, frames):
    used = session(session__reset_interval=2)
    for frame in frames[:3]:
        used.push(frame)
    number = used.session
    used.reset()
    fresh = session(session__reset_interval=2)
    for frame in frames[:3]:  # older than the last stamp: a reset forgets the clock as well
        again, new = used.push(frame), fresh.push(frame)
        ids = [p.track_id for p in new.people]
        shift = [p.track_id for p in again.people]
        same = dataclasses.replace(new, people=again.people)
        assert _same(again, same)
        assert not set(ids) & set(shift) or not ids, "numbers of people are not used again"
        assert again.session == new.session + number + 1


def test_reset_forgets_people_but_not_their_numbers(session, frames):
    one = session()
    first = {p.track_id for p in one.push(frames[0]).people}
    one.reset()
    second = {p.track_id for p in one.push(frames[0]).people}
    assert len(first) == len(second) > 0
    assert min(second) > max(first)


def test_reset_that_keeps_the_world_goes_on_from_the_last_pose(session, frames):
    one, fresh = session(), session()
    last = one.push(frames[0])
    last = one.push(frames[1])
    one.reset(keep_world=True)
    again, new = one.push(frames[2]), fresh.push(frames[2])
    assert np.allclose(again.world_from_camera, last.world_from_camera @ new.world_from_camera)
    assert np.array_equal(again.points_camera, new.points_camera)
    assert (again.session, again.frame_index) == (1, 0)


def test_reset_that_keeps_the_world_keeps_the_people(session, frames):
    one = session()
    before = {p.track_id for p in one.push(frames[0]).people}
    one.reset(keep_world=True)
    after = {p.track_id for p in one.push(Frame(frames[0].image, frames[1].stamp_ns)).people}
    assert before & after


def test_interval_resets_number_sessions_and_chain_poses(session, frames):
    one, raw = session(session__reset_interval=2), session(session__reset_interval=2)
    estimates = [one.push(frame) for frame in frames[:5]]
    assert [(e.session, e.frame_index) for e in estimates] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (2, 0),
    ]
    views = [view for frame in frames[:5] for view in raw.push_views(frame)]
    assert [view.is_reset for view in views] == [False, True, False, False, True, False, False]
    assert [view.is_overlap for view in views] == [False, False, True, False, False, True, False]
    kept = [view for view in views if not view.is_overlap]
    chained = chain_segments([v.segment_from_camera for v in kept], [v.is_reset for v in kept])
    assert np.allclose([e.world_from_camera for e in estimates], chained)
    assert _states_equal(one, raw)


def test_a_reset_on_the_last_frame_still_feeds_the_overlap(session, frames):
    one = session(session__reset_interval=2)
    one.push_views(frames[0])
    views = one.push_views(frames[1])
    assert [v.is_overlap for v in views] == [False, True]
    # The overlap view is the first one of its segment: it equals that image in a fresh session.
    (fresh,) = session().push_views(frames[1])
    assert torch.equal(views[1].output.points_camera, fresh.output.points_camera)
    assert torch.equal(one.recurrent.tokens, fresh.output.state)
    assert (one.session, one.frame_index) == (1, 0)


def test_the_reset_interval_may_change_while_running(session, frames):
    one = session()
    one.push(frames[0])
    one.push(frames[1])
    one.apply(Settings().replace(_SMALL | {"session.reset_interval": 2}))
    assert one.push(frames[2]).session == 0
    assert one.session == 1, "more frames than the new interval: reset at once"


def test_settings_of_the_network_stay_as_built(session, frames):
    one, other = session(), session()
    one.apply(Settings().replace(_SMALL | {"model.ttt3r": False, "model.input_size": 160}))
    for frame in frames[:2]:
        assert one.push(frame).image.shape == other.push(frame).image.shape
    assert torch.equal(one.recurrent.tokens, other.recurrent.tokens)


def test_a_frame_kept_out_leaves_the_recurrent_state_alone(session, frames):
    one, other = session(), session()
    for stream in (one, other):
        stream.push(frames[0])
    before = one.recurrent
    skipped = one.push(frames[1], update=False)
    assert not skipped.state_updated
    assert one.recurrent is before
    assert one.frame_index == 2
    taken = other.push(frames[1])
    assert taken.state_updated
    assert np.array_equal(taken.points_camera, skipped.points_camera), "the prediction is the same"
    a, b = one.push(frames[2]), session()
    b.push(frames[0])
    assert np.array_equal(a.points_camera, b.push(frames[2]).points_camera)


def test_a_stream_that_starts_with_a_kept_out_frame_starts_at_the_next(session, frames):
    one, fresh = session(), session()
    one.push(frames[0], update=False)
    assert np.array_equal(
        one.push(frames[1]).world_from_camera, fresh.push(frames[1]).world_from_camera
    )


def test_the_gate_acts_from_the_second_frame_on(session, frames):
    gated, plain = session(), session(model__ttt3r=False)
    for stream in (gated, plain):
        stream.push(frames[0])
    assert torch.equal(gated.recurrent.tokens, plain.recurrent.tokens)
    old = gated.recurrent.tokens
    (view,) = gated.push_views(frames[1])
    (other,) = plain.push_views(frames[1])
    assert torch.equal(view.output.state, other.output.state)
    assert torch.equal(plain.recurrent.tokens, other.output.state)
    gate = view.output.gate[..., None]
    assert torch.allclose(gated.recurrent.tokens, old + gate * (view.output.state - old), atol=1e-5)
    assert torch.equal(gated.recurrent.memory, view.output.memory), "the memory is never gated"
    assert other.output.gate is None


def test_world_points_are_given_when_asked_for(session, frames):
    one = session(session__reset_interval=1)
    one.push(frames[0])
    base = one._state.world_from_segment
    assert not np.allclose(base, np.eye(4))
    estimate = one.push(frames[1], outputs=("world",))
    (view, _) = _second_of(session(session__reset_interval=1), frames, ("world",))
    local = view.output.points_world.numpy()
    want = local @ base[:3, :3].T + base[:3, 3]
    assert estimate.points_world.dtype == np.float32
    assert np.allclose(estimate.points_world, want, rtol=1e-4, atol=1e-3)


def _second_of(stream, frames, outputs):
    stream.push(frames[0])
    return stream.push_views(frames[1], outputs=outputs)


def test_a_frame_with_nobody_has_no_people(session, frames):
    black = Frame(np.zeros_like(frames[0].image), frames[0].stamp_ns)
    assert session(people__min_score=1.0).push(black).people == ()


def test_people_are_limited_to_the_best_in_row_major_order(session, frames):
    every = session(people__min_score=0.0).push(frames[0]).people
    limited = session(people__min_score=0.0, people__max_count=2).push(frames[0]).people
    assert len(every) == 4
    second = sorted(person.score for person in every)[-2]
    best = [person for person in every if person.score >= second]
    assert [p.score for p in limited] == [p.score for p in best]


@pytest.mark.parametrize(("execution", "frame", "seen"), [("eager", 0, 4), ("static", 1, 3)])
def test_who_found_no_room_is_counted(session, frames, execution, frame, seen):
    for max_count in (seen - 1, seen, seen + 1):
        one = session(
            people__min_score=0.0, people__max_count=max_count, model__execution=execution
        )
        # The first frame never runs in fixed slots.
        estimate = [one.push(f) for f in frames[: frame + 1]][-1]
        room = min(max_count, seen)
        assert (len(estimate.people), estimate.num_left_out) == (room, seen - room)


def test_the_score_threshold_is_live(session, frames):
    one = session()
    scores = sorted(p.score for p in session().push(frames[0]).people)
    one.apply(Settings().replace({"people.min_score": scores[1]}))
    assert len(one.push(frames[0]).people) == len(scores) - 1 > 0


def test_without_a_body_model_people_have_no_mesh(session, frames):
    people = session(body=None).push(frames[0]).people
    assert people
    assert all(p.joints_camera.shape == p.vertices_camera.shape == (0, 3) for p in people)


def test_identities_unseen_for_too_long_are_dropped(session, frames):
    one = session(people__forget_s=1.0)
    first = {p.track_id for p in one.push(frames[0]).people}
    black = np.zeros_like(frames[0].image)
    one.apply(Settings().replace({"people.forget_s": 1.0, "people.min_score": 1.0}))
    one.push(Frame(black, frames[0].stamp_ns + 900_000_000))
    assert len(one._state.tracks) == len(first)
    one.push(Frame(black, frames[0].stamp_ns + 1_100_000_000))
    assert len(one._state.tracks) == 0
    one.apply(Settings().replace({"people.forget_s": 1.0, "people.min_score": 0.02}))
    again = one.push(Frame(frames[0].image, frames[0].stamp_ns + 1_200_000_000))
    assert min(p.track_id for p in again.people) > max(first)


@pytest.mark.parametrize("step_ns", [0, -1, -(10**9)])
def test_a_frame_that_is_not_newer_is_refused(session, frames, step_ns):
    one = session()
    one.push(frames[0])
    before = one._state
    with pytest.raises(StreamOrderError, match=r"expected a newer"):
        one.push(Frame(frames[1].image, frames[0].stamp_ns + step_ns))
    assert one._state is before


def test_an_image_of_another_size_is_refused_until_reset(session, frames):
    one = session()
    one.push(frames[0])
    portrait = Frame(np.ascontiguousarray(frames[1].image.swapaxes(0, 1)), frames[1].stamp_ns)
    with pytest.raises(InputError, match=r"200x330.*330x200.*reset\(\)"):
        one.push(portrait)
    one.reset()
    assert one.push(portrait).image.shape == (64, 32, 3)


def test_what_is_no_image_is_refused_and_changes_nothing(session, frames):
    one = session()
    one.push(frames[0])
    before = one._state
    for image in (np.zeros((0, 0, 3), np.uint8), np.zeros((200, 330, 3)), None):
        with pytest.raises(ShapeError):
            one.push(Frame(image, frames[1].stamp_ns))
    assert one._state is before


@pytest.mark.parametrize("where", ["dpt_self", "pose_head", "deccam"])
def test_a_failed_frame_leaves_everything_as_before(session, frames, small_network, where):
    one, untouched = session(), session()
    for stream in (one, untouched):
        stream.push(frames[0])
    module = getattr(small_network.downstream_head, where)
    handle = module.register_forward_hook(lambda _m, _i, out: out * float("nan"))
    try:
        with pytest.raises(NonFiniteError, match="as before this frame"):
            one.push(frames[1])
    finally:
        handle.remove()
    assert _states_equal(one, untouched)
    assert _same(one.push(frames[1]), untouched.push(frames[1]))


def test_a_failure_in_the_overlap_view_leaves_everything_as_before(session, frames, small_network):
    one, untouched = session(session__reset_interval=2), session(session__reset_interval=2)
    for stream in (one, untouched):
        stream.push(frames[0])
    calls = []

    def spoil_second(_module, _inputs, out):
        calls.append(1)
        return out * float("inf") if len(calls) == 2 else out

    handle = small_network.dec_norm_state.register_forward_hook(spoil_second)
    try:
        with pytest.raises(NonFiniteError, match="state"):
            one.push(frames[1])
    finally:
        handle.remove()
    assert len(calls) == 2
    assert _states_equal(one, untouched)


def test_a_saved_session_continues_bit_for_bit(session, frames, tmp_path):
    one = session(session__reset_interval=3)
    for frame in frames[:4]:
        one.push(frame)
    one.save(tmp_path / "stream.safetensors")
    other = session(session__reset_interval=3)
    other.load(tmp_path / "stream.safetensors")
    assert _states_equal(one, other)
    for frame in frames[4:]:
        a, b = one.push(frame), other.push(frame)
        assert _same(a, b)
        assert a.session == b.session
    assert [p.name for p in tmp_path.iterdir()] == ["stream.safetensors"]


def test_a_fresh_session_can_be_saved_too(session, frames, tmp_path):
    session().save(tmp_path / "stream.safetensors")
    one = session()
    one.load(tmp_path / "stream.safetensors")
    assert _same(one.push(frames[0]), session().push(frames[0]))


def test_a_session_that_cannot_be_loaded_goes_on(session, frames, tmp_path):
    one = session()
    one.push(frames[0])
    before = one._state
    (tmp_path / "noise").write_bytes(b"noise" * 100)
    with pytest.raises(InputError, match="noise"):
        one.load(tmp_path / "noise")
    assert one._state is before


def test_a_session_is_not_saved_where_it_cannot_be(session, tmp_path):
    with pytest.raises(OutputError):
        session().save(tmp_path / "nowhere" / "stream.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_memory_stays_flat(session, frames):
    """The state's size does not depend on the number of frames, and nothing else is kept."""
    one = session(people__forget_s=0.5)
    sizes = []
    for number in range(12):
        one.push(Frame(frames[number % 6].image, 100_000_000 * (number + 1)))
        state = one._state
        sizes.append(state.recurrent.tokens.numel() + state.recurrent.memory.numel())
        assert len(state.tracks) <= 20 * 6
        assert not state.recurrent.tokens.requires_grad
    assert len(set(sizes)) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_cuda_device_gives_nearly_the_same_answers(tiny_network, frames, body_file, monkeypatch):
    import copy

    from human3r.body import load_body_model

    # Convolutions in TF32 would differ by far more than rounding.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    network = copy.deepcopy(tiny_network).to("cuda")
    on_gpu = StreamSession(network, load_body_model(body_file, "cuda"), Settings())
    on_cpu = StreamSession(tiny_network, load_body_model(body_file), Settings())
    for frame in frames[:3]:
        a, b = on_gpu.push(frame), on_cpu.push(frame)
        assert np.allclose(a.points_camera, b.points_camera, rtol=1e-2, atol=1e-2)
        assert np.allclose(a.world_from_camera, b.world_from_camera, atol=1e-3)
        assert [p.track_id for p in a.people] == [p.track_id for p in b.people]
