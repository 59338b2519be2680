import numpy as np
import pytest
import torch

from human3r.geometry import (
    estimate_focal,
    estimate_focal_median,
    network_from_square,
    project,
)


def _pointmap(focal, height=48, width=64, noise=0.0):
    generator = torch.Generator().manual_seed(0)
    v, u = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    z = 2 + torch.rand(height, width, generator=generator)
    x, y = (u - width // 2) / focal * z, (v - height // 2) / focal * z
    points = torch.stack((x, y, z), dim=-1)
    return points + noise * torch.randn(points.shape, generator=generator)


def test_focal_length_repeats_the_golden_numbers(unit_ops):
    points = torch.from_numpy(unit_ops["focal.pts3d"])
    for number, (u, v) in enumerate(unit_ops["focal.pp"].tolist()):
        got = estimate_focal(points[number], (u, v))
        assert got == pytest.approx(unit_ops["focal.weiszfeld"][number], rel=1e-4)
        got = estimate_focal_median(points[number], (u, v))
        assert got == pytest.approx(unit_ops["focal.median"][number], rel=1e-4)


@pytest.mark.parametrize("estimate", [estimate_focal, estimate_focal_median])
def test_focal_length_of_a_true_camera_is_found(estimate):
    assert estimate(_pointmap(70.0)) == pytest.approx(70.0, rel=1e-4)


def test_several_pointmaps_are_estimated_at_once():
    both = torch.stack((_pointmap(50.0), _pointmap(90.0)))
    assert torch.allclose(estimate_focal(both), torch.tensor([50.0, 90.0]), rtol=1e-4)


def test_few_wild_points_hardly_matter():
    points = _pointmap(70.0)
    points[:4, :20] *= torch.tensor([9.0, -7.0, 1.0])
    assert estimate_focal(points) == pytest.approx(70.0, rel=0.02)


@pytest.mark.parametrize("estimate", [estimate_focal, estimate_focal_median])
@pytest.mark.parametrize(
    "points",
    [
        torch.zeros(8, 8, 3),
        _pointmap(70.0) * torch.tensor([-1.0, -1.0, 1.0]),
        torch.full((8, 8, 3), float("inf")),
    ],
    ids=["all at the origin", "mirrored", "infinite"],
)
def test_a_pointmap_of_no_camera_gives_zero(estimate, points):
    assert estimate(points) == 0


def test_projection_undoes_the_pointmap():
    points = _pointmap(70.0)
    matrix = torch.tensor([[70.0, 0, 32], [0, 70.0, 24], [0, 0, 1]])
    pixels = project(points, matrix)
    assert torch.allclose(pixels[10, 20], torch.tensor([20.0, 10.0]), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "square_px", "width_px", "height_px"),
    [("pad.land", 224, 160, 96), ("pad.port", 224, 80, 160), ("pad.half", 672, 512, 288)],
)
def test_square_pixels_repeat_the_golden_numbers(unit_ops, name, square_px, width_px, height_px):
    got = network_from_square(
        torch.from_numpy(unit_ops[f"{name}.uv_in"]), square_px, width_px, height_px
    )
    limit = torch.tensor([width_px - 1, height_px - 1])
    clamped = got.clamp(min=torch.zeros(2), max=limit).numpy()
    want = unit_ops[f"{name}.uv_out"]
    assert np.abs(clamped - want).max() <= 1e-5 * np.sqrt((want**2).mean())
