import dataclasses

import pytest
import torch
import torch.nn.functional as F

from human3r.model.heads import DptHead, confidence_from_raw, points_from_raw
from human3r.model.variants import VARIANTS


def test_confidence_repeats_the_golden_numbers(unit_ops):
    got = confidence_from_raw(torch.from_numpy(unit_ops["conf_exp.in"]))
    assert torch.allclose(got, torch.from_numpy(unit_ops["conf_exp.out"]), rtol=1e-5)


def test_points_and_confidence_are_split():
    raw = torch.zeros(1, 4, 2, 3)
    raw[0, 2] = 1.0
    points, confidence = points_from_raw(raw)
    assert points.shape == (2, 3, 3)
    assert torch.allclose(points[..., 2], torch.tensor(1.0).expm1())
    assert (confidence == 2).all()


@torch.no_grad()
@pytest.mark.parametrize("grid", [(1, 1), (1, 4), (3, 5), (4, 3), (2, 2)])
def test_dense_head_follows_the_recipe_for_any_grid(grid):
    """Written out step by step; odd grids are cut back to their first rows and columns."""
    torch.manual_seed(0)
    config = dataclasses.replace(VARIANTS["tiny"], encoder_width=8, encoder_heads=2)
    config = dataclasses.replace(config, decoder_width=4, decoder_heads=1, state_heads=1)
    head = DptHead(config, 4)
    tokens = tuple(torch.randn(1, grid[0] * grid[1], width) for width in (8, 4, 4, 4))
    got = head(tokens, grid)
    assert got.shape == (1, 4, 16 * grid[0], 16 * grid[1])

    def double(x):
        size = (2 * x.shape[-2], 2 * x.shape[-1])
        return F.interpolate(x, size=size, mode="bilinear", align_corners=True)

    def unit(conv, x):
        return conv.conv2(conv.conv1(x.relu()).relu()) + x

    images = [x.transpose(1, 2).reshape(1, -1, *grid) for x in tokens]
    act, net = head.act_postprocess, head.scratch
    levels = [
        net.layer1_rn(act[0][1](act[0][0](images[0]))),
        net.layer2_rn(act[1][1](act[1][0](images[1]))),
        net.layer3_rn(act[2][0](images[2])),
        net.layer4_rn(act[3][1](act[3][0](images[3]))),
    ]
    assert levels[3].shape[-2:] == (-(-grid[0] // 2), -(-grid[1] // 2))
    fuse = net.refinenet4
    path = fuse.out_conv(double(unit(fuse.resConfUnit2, levels[3])))[:, :, : grid[0], : grid[1]]
    for fuse, level in (
        (net.refinenet3, levels[2]),
        (net.refinenet2, levels[1]),
        (net.refinenet1, levels[0]),
    ):
        path = path + unit(fuse.resConfUnit1, level)
        path = fuse.out_conv(double(unit(fuse.resConfUnit2, path)))
    want = head.head[4](head.head[2](double(head.head[0](path))).relu())
    assert torch.allclose(got, want, atol=1e-5)
