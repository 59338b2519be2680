"""Steps and their windows: every window once per epoch, the same step always the same batch."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from human3r_lab.datasets import SequenceFile
from human3r_lab.training.augmentation import crop_view, whole_image
from human3r_lab.training.batches import BatchMaker, WindowOrder, window_views
from human3r_lab.training.loader import BatchLoader

from human3r.errors import InputError
from human3r.streaming.preprocess import fit_geometry


def test_an_epoch_visits_every_window_once():
    order = WindowOrder([7, 3, 5], views=4, seed=1)
    assert len(order) == 4 + 1 + 2
    for epoch in range(3):
        seen = [order.window(epoch * len(order) + i) for i in range(len(order))]
        assert Counter(seen) == {
            (0, 0): 1, (0, 1): 1, (0, 2): 1, (0, 3): 1, (1, 0): 1, (2, 0): 1, (2, 1): 1
        }  # fmt: skip


def test_epochs_and_seeds_have_orders_of_their_own():
    order = WindowOrder([40], views=4, seed=1)
    first = [order.window(i) for i in range(37)]
    assert first != [order.window(37 + i) for i in range(37)]
    assert first != [WindowOrder([40], views=4, seed=2).window(i) for i in range(37)]
    assert first == [WindowOrder([40], views=4, seed=1).window(i) for i in range(37)]


@pytest.mark.parametrize(
    ("start", "length", "intervals"),
    [(0, 13, {1, 2, 3, 4}), (0, 100, {1, 2, 3, 4}), (6, 13, {1, 2}), (9, 13, {1})],
)
def test_intervals_fit_what_remains(start, length, intervals):
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        views = window_views(rng, start, length, 4)
        steps = set(np.diff(views))
        assert len(steps) == 1
        assert views[0] == start
        assert views[-1] < length
        seen |= steps
    assert seen == intervals


def test_short_sequences_repeat_their_last_view():
    assert window_views(np.random.default_rng(0), 0, 2, 4) == [0, 1, 1, 1]


def equal(a, b) -> bool:
    return all(torch.equal(value, getattr(b, name)) for name, value in vars(a).items())


def test_a_step_is_the_same_whenever_it_is_made(data, plan):
    straight = [BatchMaker(*data, plan)(step) for step in range(4)]
    maker = BatchMaker(*data, plan)
    for step in (3, 0, 2):
        assert equal(maker(step), straight[step])
    assert not torch.equal(straight[0].depth_m, straight[2].depth_m)
    other = BatchMaker(*data, replace(plan, seed=6))(0)
    assert other.depth_m.shape != straight[0].depth_m.shape or not equal(other, straight[0])


def test_processes_share_a_step_without_overlap(data, plan):
    together = BatchMaker(*data, replace(plan, batch=4))(1)
    apart = [BatchMaker(*data, plan, rank, 2)(1) for rank in (0, 1)]
    for name in ("image", "depth_m", "camera", "first_from_camera"):
        joined = torch.cat([getattr(batch, name) for batch in apart])
        assert torch.equal(joined, getattr(together, name))


def test_batches_hold_what_they_say(make_batch):
    batch = make_batch(0)
    identity = torch.eye(4).expand(2, 4, 4)
    torch.testing.assert_close(batch.first_from_camera[:, 0], identity, atol=1e-6, rtol=0)
    assert batch.image.dtype == torch.uint8
    assert batch.is_present.any()
    assert not batch.betas[~batch.is_present].any()
    # A person's id is not needed, but the nearest comes first.
    distance = batch.head_camera.norm(dim=-1).masked_fill(~batch.is_present, torch.inf)
    assert (distance.diff(dim=-1) >= 0).all()


def test_sizes_change_between_steps(make_batch):
    sizes = {tuple(make_batch(step).image.shape[-2:]) for step in range(8)}
    assert sizes == {(48, 80), (64, 48)}


def test_ray_maps_come_after_the_first_view(data, plan):
    told = replace(plan, augmentation=replace(plan.augmentation, ray_map=1.0))
    batch = BatchMaker(*data, told)(0)
    assert not batch.has_ray_map[:, 0].any()
    assert batch.has_ray_map[:, 1:].all()


@pytest.mark.parametrize("workers", [0, 1])
def test_loader_gives_the_steps_in_order(data, plan, workers):
    make = BatchMaker(*data, plan)
    loader = BatchLoader(make, first=2, workers=workers)
    try:
        for step in (2, 3):
            assert equal(loader.next(), make(step))
        assert loader.waited_s > 0
    finally:
        loader.close()


def test_a_sequence_that_vanished_is_named(tmp_path, data, plan):
    paths = [tmp_path / "gone.safetensors"] * len(data[0])
    loader = BatchLoader(BatchMaker(paths, data[1], plan), first=0, workers=0)
    with pytest.raises(InputError, match=r"^\S*gone\.safetensors: no such file"):
        loader.next()


def test_weakened_augmentation_shows_pictures_as_they_are(data, plan):
    still = plan.augmentation.weakened(0.0)
    still = replace(still, sizes_px=((80, 48, 1.0),), mirror=0.0, reverse=0.0)
    maker = BatchMaker(*data, replace(plan, augmentation=still))
    again = BatchMaker(*data, replace(plan, augmentation=still, seed=plan.seed))
    # The pictures of a window come from consecutive views of one sequence, as inference sees them.
    file = SequenceFile(data[0][0])
    pictures = {
        crop_view(file.view(i), whole_image(fit_geometry(128, 96, 80))).image.tobytes()
        for i in range(len(file))
    }
    windows = [maker(step) for step in range(4)]
    shown = [
        image.permute(1, 2, 0).numpy().tobytes()
        for batch in windows
        for image in batch.image.flatten(0, 1)
    ]
    assert sum(image in pictures for image in shown) >= 3
    assert equal(windows[0], again(0))
    half = plan.augmentation.weakened(0.5)
    assert half.zoom == pytest.approx(0.85)
    assert half.mirror == plan.augmentation.mirror
