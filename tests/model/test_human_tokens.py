import pytest
import torch

from human3r.model.heads import (
    choose_peaks,
    fill_slots,
    keep_peaks,
    locate_people,
    picture_rows,
    probability,
    unfold_mask,
)
from human3r.streaming.preprocess import crop_from_square


def test_probability_repeats_the_golden_numbers(unit_ops):
    got = probability(torch.from_numpy(unit_ops["score.in"]))
    assert torch.allclose(got, torch.from_numpy(unit_ops["score.out"]), rtol=1e-5, atol=1e-9)


def test_suppression_repeats_the_golden_numbers(unit_ops):
    for scores, want in zip(unit_ops["nms.in"], unit_ops["nms.out"], strict=True):
        assert torch.equal(keep_peaks(torch.from_numpy(scores[0])), torch.from_numpy(want[0]))


def test_equal_neighbours_both_stay():
    scores = torch.tensor([[0.5, 0.5, 0.25], [0.1, 0.2, 0.4], [0.1, 0.3, 0.2]])
    assert keep_peaks(scores).tolist() == [[0.5, 0.5, 0], [0, 0, 0], [0, 0, 0]]


def test_people_are_chosen_from_the_threshold_on_in_row_major_order():
    peaks = torch.tensor([[0.0, 0.3, 0.0], [0.9, 0.0, 0.25], [0.0, 0.5, 0.0]])
    assert choose_peaks(peaks, 0.3, None).tolist() == [1, 3, 7]


def test_a_limit_keeps_the_highest_scores_in_row_major_order():
    peaks = torch.tensor([[0.4, 0.0, 0.6], [0.0, 0.0, 0.0], [0.5, 0.0, 0.9]])
    assert choose_peaks(peaks, 0.3, 2).tolist() == [2, 8]
    assert choose_peaks(peaks, 0.3, 4).tolist() == [0, 2, 6, 8]


def test_suppressed_places_never_count():
    peaks = torch.tensor([[0.0, 0.2], [0.0, 0.0]])
    assert choose_peaks(peaks, 0.0, None).tolist() == [1]


def _locate(tokens, offsets, width_px=160, height_px=96):
    return locate_people(
        torch.tensor(tokens),
        torch.ones(len(tokens)),
        torch.tensor(offsets).view(-1, 2),
        square_px=224,
        width_px=width_px,
        height_px=height_px,
        patch_px=16,
    )


def test_heads_and_patches_follow_from_token_and_offset():
    # Token (row 8, column 3): centre (49, 119), moved by a quarter and a half token.
    found = _locate([8 * 16 + 3], [[0.25, -0.5]])
    assert found.tokens.tolist() == [[8, 3]]
    assert found.head_square_px.tolist() == [[52.5, 112.0]]
    # 160/224 of that, minus the 32 rows of margin: (37.5, 48).
    assert found.patches.tolist() == [[3, 2]]
    assert found.patch_index.tolist() == [3 * 10 + 2]


def test_heads_outside_the_picture_get_the_nearest_patch():
    found = _locate([0, 255], [[-9.0, -9.0], [9.0, 9.0]])
    assert found.patches.tolist() == [[0, 0], [5, 9]]


def test_portrait_margins_are_left_and_right():
    found = _locate([8 * 16 + 8], [[0.0, 0.0]], width_px=80, height_px=160)
    # (119, 119) * 160/224 = (85, 85); 40 columns of margin.
    assert found.patches.tolist() == [[5, 2]]


def test_nobody_found_gives_empty_arrays():
    found = _locate([], [])
    assert found.patches.shape == found.head_square_px.shape == (0, 2)


def test_mask_logits_unfold_row_by_row():
    logits = torch.full((1, 4, 196), -20.0)
    logits[0, 2, 14 * 3 + 5] = 20.0  # token (1, 0), pixel row 3, column 5 within it
    mask = unfold_mask(logits, 2)
    assert mask.shape == (28, 28)
    assert torch.nonzero(mask > 0.5).tolist() == [[14 + 3, 5]]


@pytest.mark.parametrize("size_px", [(512, 288), (288, 512), (512, 384), (224, 224), (512, 16)])
def test_the_picture_lies_in_the_rows_that_are_kept(size_px):
    """Cut from the kept rows alone, the mask is that of all rows."""
    side, (width, height) = 16, size_px
    logits = torch.randn(1, side * side, 196, generator=torch.Generator().manual_seed(0))
    rows = picture_rows(side, width, height)
    kept = logits.unflatten(1, (side, side))[:, rows].flatten(1, 2)
    whole, part = unfold_mask(logits, side), unfold_mask(kept, side, rows.start)
    cut = crop_from_square(part, width, height)
    assert torch.equal(cut, crop_from_square(whole, width, height))
    assert part.shape == whole.shape
    if width > height:
        assert rows.stop - rows.start < side
        assert not part[: rows.start * 14].any()


@pytest.mark.parametrize("people", [0, 1, 3, 7])
def test_slots_hold_the_people_that_are_chosen(people):
    scores = torch.rand(12, 12, generator=torch.Generator().manual_seed(people))
    peaks = torch.zeros(12, 12).flatten()
    places = torch.randperm(144, generator=torch.Generator().manual_seed(1))[:people]
    peaks[places] = scores.flatten()[places]
    peaks = peaks.view(12, 12)
    for slots in (1, 4, 10):
        chosen, count = fill_slots(peaks, 0.2, slots)
        want = choose_peaks(peaks, 0.2, slots)
        assert chosen.shape == (slots,)
        assert chosen[: int(count)].tolist() == want.tolist()
        assert not chosen[int(count) :].any()


def test_more_slots_than_places_are_filled_up():
    chosen, count = fill_slots(torch.tensor([[0.0, 0.9], [0.5, 0.0]]), 0.2, 6)
    assert chosen.tolist() == [1, 2, 0, 0, 0, 0]
    assert int(count) == 2
