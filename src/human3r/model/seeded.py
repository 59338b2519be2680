"""Made-up weights that anyone can re-create bit for bit from names, shapes and one number.

They stand in for trained weights in tests, parity checks and demonstrations. Each tensor depends
only on its own name, shape and the seed, so any part of a network can be made alone. The gains
keep activations in a useful range: a few people are found, nothing saturates, nothing is NaN.
"""

import math
import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

_RULES: tuple[tuple[str, str, tuple[float, ...]], ...] = (
    # (pattern searched in the canonical name, kind, numbers); the first match decides.
    (r"^downstream_head\.init_(betas|betas_kid|cam|expression)$", "zero", ()),
    (r"^downstream_head\.init_body_pose$", "rot6d", (0.05,)),
    (r"(^|\.)(pos_embed|cls_token)$", "noise", (0.5,)),
    (r"^register_tokens\.weight$", "noise", (1.0,)),
    (
        r"(^|\.)(pose_token|masked_token|mem|mask_token|masked_\w+_token|mhmr_masked_\w+_token)$",
        "noise",
        (0.5,),
    ),
    (r"\.gamma$", "scale", (0.3,)),
    (r"^downstream_head\.mlp_classif\.2\.weight$", "fan", (6.0,)),
    (r"^downstream_head\.mlp_classif\.2\.bias$", "around", (-5.5,)),
    (r"^downstream_head\.mlp_offset\.2\.weight$", "fan", (0.5,)),
    (r"^downstream_head\.deccam\.mlp\.layers\.2\.bias$", "around", (0.0, 0.0, 2.2)),
    (r"^downstream_head\.decpose\.mlp\.layers\.2\.weight$", "fan", (0.5,)),
    (
        r"^downstream_head\.pose_head\.mlp\.fc2\.bias$",
        "around",
        (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0),
    ),
    (r"^downstream_head\.dpt_(self|cross)\.head\.4\.weight$", "fan", (0.22,)),
    (r"^downstream_head\.dpt_(self|cross)\.head\.4\.bias$", "around", (0.0, 0.0, 1.0, 0.0)),
    (r"\.dpt_\w+\.scratch\.layer\d_rn\.weight$", "fan", (2.0,)),
)

_PIECE = 1 << 14
"""Numbers made at once; more than any tensor has whose places count."""


def seeded_state(shapes: Mapping[str, Sequence[int]], seed: int = 0) -> dict[str, np.ndarray]:
    """One float32 array per name, in the order given; two names of one tensor share an array."""
    made: dict[str, np.ndarray] = {}
    for key, shape in shapes.items():
        if _canonical(key) not in made:
            made[_canonical(key)] = seeded_tensor(key, shape, seed)
    return {key: made[_canonical(key)] for key in shapes}


def seeded_tensor(key: str, shape: Sequence[int], seed: int = 0) -> np.ndarray:
    """The float32 array for one state-dict name.

    Both names of a tensor that the DPT heads share give equal values.
    """
    key = _canonical(key)
    shape = tuple(int(size) for size in shape)
    kind, numbers = _rule(key, len(shape))
    start = (zlib.crc32(key.encode("utf-8")) + 1000003 * int(seed)) % 2**32
    chance = np.random.Generator(np.random.PCG64(start))
    values = np.empty(math.prod(shape), np.float32)
    # Piece by piece: float64 of a whole tensor would not fit into the processor's cache.
    for begin in range(0, values.size, _PIECE):
        piece = values[begin : begin + _PIECE]
        piece[:] = _value(kind, numbers, chance.standard_normal(len(piece)), shape)
    return values.reshape(shape)


def _canonical(key: str) -> str:
    key = re.sub(r"\.act_postprocess\.(\d)\.", lambda m: f".act_{int(m[1]) + 1}_postprocess.", key)
    return re.sub(
        r"\.scratch\.layer_rn\.(\d)\.", lambda m: f".scratch.layer{int(m[1]) + 1}_rn.", key
    )


def _rule(key: str, num_axes: int) -> tuple[str, tuple[float, ...]]:
    for pattern, kind, numbers in _RULES:
        if re.search(pattern, key):
            return kind, numbers
    if num_axes >= 2:
        return "fan", (1.0,)
    if key.endswith(".bias"):
        return "noise", (0.02,)
    return "scale", (1.0,)


def _value(
    kind: str, numbers: tuple[float, ...], noise: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """One rule applied to a piece of standard normal noise; everything in float64."""
    if kind == "zero":
        return np.zeros(noise.shape)
    if kind == "rot6d":
        return np.resize([1.0, 0.0, 0.0, 1.0, 0.0, 0.0], noise.shape) + numbers[0] * noise
    if kind == "noise":
        return numbers[0] * noise
    if kind == "scale":
        return numbers[0] * (1.0 + 0.1 * noise)
    if kind == "around":
        return 0.02 * noise + np.asarray(numbers)
    assert kind == "fan", kind
    return numbers[0] * noise / math.sqrt(math.prod(shape[1:]))
