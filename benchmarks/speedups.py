"""Each accepted speed-up against the way before, in turns of one run.

    python benchmarks/speedups.py [--rounds 15]

Sizes are those of the 672S network at 512x288. What was predicted, and what came out when, is in
docs/benchmarks/speedups.md; that both ways say the same is proven by tests.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from interleaved import describe, take_turns
from plain_network import PlainNetwork
from scaffold import describe_environment, parser
from scipy.special import logsumexp
from torch import Tensor

from human3r.geometry import estimate_focal, expand_length
from human3r.model.heads import (
    Fusion,
    HumanHead,
    confidence_from_raw,
    picture_rows,
    points_from_raw,
    unfold_mask,
)
from human3r.model.layers import DecoderBlock, RotaryTable, patch_positions
from human3r.model.network import Human3R
from human3r.model.variants import VARIANTS
from human3r.tracking.tracks import log_transport

HEIGHT, WIDTH, GRID = 288, 512, (18, 32)
Ways = tuple[Callable[[], object], Callable[[], object]]


def identities() -> Ways:
    scores = -10 * np.random.default_rng(0).random((5, 5))

    def before() -> None:
        z, u, v = np.pad(scores, (0, 1)), np.zeros(6), np.zeros(6)
        for _ in range(20):
            u = -logsumexp(z + v, axis=1)
            v = -logsumexp(z + u[:, None], axis=0)

    return before, lambda: log_transport(scores, -10.0)


def rotary() -> Ways:
    x = torch.randn(1, GRID[0] * GRID[1], 48, 64).transpose(1, 2)[:, :32]
    positions = patch_positions(GRID)
    table = RotaryTable.at(positions, 64, 100.0)
    cos, sin = (part.unflatten(-1, (2, 2, -1))[..., 1, :] for part in (table.cos, table.sin))

    def before() -> Tensor:
        u, v = x.unflatten(-1, (2, 2, -1)).unbind(-2)
        return torch.stack((u * cos - v * sin, v * cos + u * sin), dim=-2).flatten(-3)

    return before, lambda: table.rotate(x)


def fusion() -> Ways:
    block = Fusion(256)
    x = torch.randn(1, 256, 4 * GRID[0], 4 * GRID[1]).contiguous(memory_format=torch.channels_last)
    return (
        lambda: block.out_conv(block.upsample(block.resConfUnit2(x))),
        lambda: block(x),
    )


def points() -> Ways:
    raw = torch.randn(1, 4, HEIGHT, WIDTH).contiguous(memory_format=torch.channels_last)

    def before() -> tuple[Tensor, Tensor]:
        image = raw[0].permute(1, 2, 0)
        return expand_length(image[..., :3]), confidence_from_raw(image[..., 3])

    return before, lambda: points_from_raw(raw)


def focal() -> Ways:
    cloud = torch.rand(HEIGHT, WIDTH, 3) + torch.tensor([-0.5, -0.5, 2.0])

    def before() -> Tensor:
        v, u = torch.meshgrid(
            torch.arange(HEIGHT) - HEIGHT // 2, torch.arange(WIDTH) - WIDTH // 2, indexing="ij"
        )
        pixels = torch.stack((u, v), dim=-1).flatten(0, 1)
        rays = (cloud[..., :2] / cloud[..., 2:]).nan_to_num(0, 0, 0).flatten(0, 1)
        across, along = (rays * pixels).sum(-1), (rays * rays).sum(-1)
        found = across.mean() / along.mean()
        for _ in range(10):
            weight = 1 / (pixels - found * rays).norm(dim=-1).clamp_min(1e-8)
            found = (weight * across).mean() / (weight * along).mean()
        return found

    return before, lambda: estimate_focal(cloud)


def finite() -> Ways:
    tensors = [torch.randn(HEIGHT, WIDTH, 3), torch.randn(768, 768), torch.randn(672, 672)]
    return (
        lambda: torch.stack([t.isfinite().all() for t in tensors]).tolist(),
        lambda: torch.stack([t.sum() for t in tensors]).isfinite().tolist(),
    )


def memory_write() -> Ways:
    block = DecoderBlock(1536, 12)
    memory, entry = torch.randn(1, 256, 1536), torch.randn(1, 1, 1536)
    with torch.device("meta"):
        plain = PlainNetwork(Human3R(VARIANTS["tiny"]))
    return lambda: plain._decoder_block(block, memory, entry), lambda: block(memory, entry)


def memory_read() -> Ways:
    block = DecoderBlock(1536, 12)
    address, memory = torch.randn(1, 1, 1536), torch.randn(1, 256, 1536)
    with torch.device("meta"):
        plain = PlainNetwork(Human3R(VARIANTS["tiny"]))
    return lambda: plain._decoder_block(block, address, memory), lambda: block(address, memory)


def mask() -> Ways:
    head, tokens = HumanHead(384, 384, 196), torch.randn(1, 48 * 48, 384)
    rows = picture_rows(48, WIDTH, HEIGHT)
    kept = tokens.unflatten(1, (48, 48))[:, rows].flatten(1, 2)
    return (
        lambda: unfold_mask(head(tokens), 48),
        lambda: unfold_mask(head(kept), 48, rows.start),
    )


def attention() -> Ways:
    q, k, v = torch.randn(3, 1, 6, 48 * 48 + 1, 64)
    return (
        lambda: (q @ k.transpose(-1, -2) / 8).softmax(-1) @ v,
        lambda: F.scaled_dot_product_attention(q, k, v),
    )


SPEEDUPS = {
    "identities without SciPy's checks": identities,
    "rotation of queries and keys": rotary,
    "1x1 convolution before enlarging": fusion,
    "points, coordinate by coordinate": points,
    "focal length, coordinate by coordinate": focal,
    "finite numbers, by sums": finite,
    "memory write reads its one entry": memory_write,
    "memory read asks for one row": memory_read,
    "person mask only in the picture": mask,
    "fused attention, human branch": attention,
}


@torch.inference_mode()
def main() -> None:
    command = parser(__doc__)
    command.add_argument("--rounds", type=int, default=15)
    rounds = command.parse_args().rounds
    where = describe_environment()
    print(f"{where['date']}, {where['cpu']}, {where['torch_threads']} threads, ", end="")
    print(f"PyTorch {where['torch']}, commit {where['commit']}; processor ms, medians\n")
    print("| | before | now | times faster |\n| --- | --- | --- | --- |")
    torch.manual_seed(0)
    for name, make in SPEEDUPS.items():
        before, now = make()
        turns = take_turns({"before": lambda _, f=before: f(), "now": lambda _, f=now: f()}, rounds)
        found = describe(turns, "before")
        old, new = (found[way]["processor_ms"] for way in ("before", "now"))
        factor = found["now"]["times_faster_processor"]
        print(f"| {name} | {old:.2f} | {new:.2f} | {factor:.2f} |", flush=True)


if __name__ == "__main__":
    main()
