"""From the human branch's tokens to detected people, their backbone patches and person masks."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from human3r.geometry.camera import network_from_square, square_offset_px
from human3r.model.encoder import DINO_PATCH_PX

_SQUEEZE = 1e-6


@dataclass(frozen=True)
class Detections:
    """People found in one frame, in row-major order of their tokens."""

    tokens: Int[Tensor, "people 2"]
    """(row, column) in the human branch's grid."""
    scores: Float[Tensor, " people"]
    head_square_px: Float[Tensor, "people 2"]
    """(u, v) in the square image, from the corner of its first pixel."""
    patches: Int[Tensor, "people 2"]
    """(row, column) of the image encoder's patch at the head."""
    token_index: Int[Tensor, " people"]
    """Row-major number of the human branch's token."""
    patch_index: Int[Tensor, " people"]
    """Row-major number of the image encoder's patch."""


def probability(logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Sigmoid, kept a little away from 0 and 1."""
    return logits.sigmoid() * (1 - 2 * _SQUEEZE) + _SQUEEZE


def keep_peaks(scores: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Scores that no neighbour exceeds; the others become 0. Equal neighbours both stay."""
    largest = F.max_pool2d(scores[None], kernel_size=3, stride=1, padding=1)[0]
    return scores * (scores == largest)


def choose_peaks(
    peaks: Float[Tensor, "rows columns"], min_score: float, max_people: int | None
) -> Int[Tensor, " people"]:
    """Row-major numbers of the peaks from ``min_score`` on, in ascending order.

    Args:
        peaks: scores after ``keep_peaks``.
        min_score: smallest score kept; suppressed places never count, whatever this is.
        max_people: keep only that many, those of the highest scores; None: all.
    """
    flat = peaks.flatten()
    # The number of people decides shapes, so the host waits for the device here, and only here.
    chosen = torch.nonzero((flat >= min_score) & (flat > 0)).squeeze(1)
    if max_people is not None and len(chosen) > max_people:
        best = flat[chosen].topk(max_people).indices
        chosen = chosen[best].sort().values
    return chosen


def locate_people(
    token_index: Int[Tensor, " people"],
    scores: Float[Tensor, " people"],
    offsets: Float[Tensor, "people 2"],
    *,
    square_px: int,
    width_px: int,
    height_px: int,
    patch_px: int,
) -> Detections:
    """Where the heads are, in the square image and among the image encoder's patches.

    Args:
        token_index: row-major numbers of the detected tokens.
        scores: their scores.
        offsets: (du, dv) from the token's centre, in tokens.
        square_px: side of the human branch's image.
        width_px: width of the network image.
        height_px: height of the network image.
        patch_px: side of the image encoder's patches.
    """
    grid = square_px // DINO_PATCH_PX
    row, column = token_index // grid, token_index % grid
    head = (torch.stack((column, row), dim=-1) + 0.5 + offsets) * DINO_PATCH_PX
    u, v = network_from_square(head, square_px, width_px, height_px).unbind(-1)
    patch_column = (u.clamp(0, width_px - 1) / patch_px).floor().long()
    patch_row = (v.clamp(0, height_px - 1) / patch_px).floor().long()
    return Detections(
        tokens=torch.stack((row, column), dim=-1),
        scores=scores,
        head_square_px=head,
        patches=torch.stack((patch_row, patch_column), dim=-1),
        token_index=token_index,
        patch_index=patch_row * (width_px // patch_px) + patch_column,
    )


def nobody(device: torch.device) -> Detections:
    """No people."""
    indices = torch.zeros(0, dtype=torch.long, device=device)
    places = torch.zeros(0, 2, device=device)
    return Detections(places.long(), places[:, 0], places, places.long(), indices, indices)


def fill_slots(
    peaks: Float[Tensor, "rows columns"], min_score: float, slots: int
) -> tuple[Int[Tensor, " slots"], Int[Tensor, ""]]:
    """As ``choose_peaks`` with ``max_people``, in a fixed number of rows and without a wait.

    Returns:
        Row-major numbers of the people in ascending order, then zeros; how many people there are.
    """
    flat = peaks.flatten()
    counted = torch.where((flat >= min_score) & (flat > 0), flat, 0.0)
    best = counted.topk(min(slots, len(flat)))
    # Absent people sort last.
    order = torch.where(best.values > 0, best.indices, len(flat)).sort().values
    order = F.pad(order, (0, slots - len(order)), value=len(flat))
    is_person = order < len(flat)
    return torch.where(is_person, order, 0), is_person.sum()


def picture_rows(side: int, width_px: int, height_px: int) -> slice:
    """Rows of the human branch's token grid that the picture reaches into.

    Args:
        side: rows of the grid.
        width_px: width of the network image.
        height_px: height of the network image.
    """
    long_px = max(width_px, height_px)
    top = square_offset_px(width_px, height_px)[1]
    first, end = top * side // long_px, -(-(top + height_px) * side // long_px)
    # One more on each side: places are rounded when the picture is cut out again.
    return slice(max(0, first - 1), min(side, end + 1))


def unfold_mask(
    logits: Float[Tensor, "1 tokens pixels"], side: int, first_row: int = 0
) -> Float[Tensor, "side_px side_px"]:
    """Person probability per pixel of the square image, from one patch of logits per token.

    Args:
        logits: of whole rows of tokens.
        side: tokens per row, and rows of the square image.
        first_row: where the rows given begin; the probability is 0 in all others.
    """
    image = probability(logits).transpose(1, 2).unflatten(2, (-1, side))
    pixels = F.pixel_shuffle(image, DINO_PATCH_PX)[0, 0]
    above = first_row * DINO_PATCH_PX
    return F.pad(pixels, (0, 0, above, side * DINO_PATCH_PX - above - pixels.shape[0]))
