"""The network at a size that tests can afford, with numbers that do not cancel."""

import torch

from human3r.multiview.pi3x.config import Pi3XConfig
from human3r.multiview.pi3x.network import Pi3X

LITTLE = {
    "encoder_width": 32,
    "encoder_depth": 2,
    "encoder_heads": 2,
    "decoder_width": 32,
    "decoder_depth": 4,
    "decoder_heads": 2,
    "head_depth": 1,
    "camera_width": 16,
    "metric_width": 16,
    "metric_heads": 2,
    "head_widths": (16, 8, 8),
    "output_width": 8,
    "layer_scale": 0.5,
    "pose_after": (1, 3),
}


def make_little_pi3x(**changes) -> Pi3X:
    """Seeded; the same numbers with and without the branches of priors."""
    network = Pi3X(Pi3XConfig(**{**LITTLE, **changes}))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            generator = torch.Generator().manual_seed(sum(map(ord, name)))
            noise = 0.15 * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise + (1.0 if "norm" in name and "weight" in name else 0.0))
    return network.requires_grad_(False).eval()


def make_images(count: int, height: int = 28, width: int = 42, seed: int = 0) -> torch.Tensor:
    """(count, 3, height, width) in [0, 1]."""
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))
