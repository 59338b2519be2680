"""The learning rate over a training, as a share of its highest value."""

import math

_DECAY = 0.4
"""Share of a trapezoid's length in which the rate falls."""


def rate(progress: float, kind: str, warm_up: float, final: float) -> float:
    """Share of the highest learning rate.

    ``cosine`` falls from the end of the warm-up on; ``trapezoid`` stays up and falls linearly in
    the last part, so that a training may be prolonged while it is still up.

    Args:
        progress: how much of the training is over, 0 to 1.
        kind: ``cosine`` or ``trapezoid``.
        warm_up: share of the training in which the rate rises linearly from 0.
        final: share of the rate that is left at the end.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < warm_up:
        return progress / warm_up
    if kind == "cosine":
        place = (progress - warm_up) / max(1 - warm_up, 1e-9)
        return final + (1 - final) * (1 + math.cos(math.pi * place)) / 2
    left = (1 - progress) / _DECAY
    return final + (1 - final) * min(1.0, left)
