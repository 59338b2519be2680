"""Known cameras as the network takes them: six numbers per pixel."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def ray_maps(
    camera: Float[Tensor, "batch views 4"],
    first_from_camera: Float[Tensor, "batch views 4 4"],
    size_px: tuple[int, int],
) -> Float[Tensor, "batch views 6 height width"]:
    """Per pixel the camera's place and its ray, both as CUT3R feeds them.

    The translation is added to the direction before that is normalised; weights rely on it.
    """
    height, width = size_px
    fx, fy, cx, cy = (number[..., None, None] for number in camera.unbind(-1))
    u = torch.arange(width, device=camera.device, dtype=torch.float32)
    v = torch.arange(height, device=camera.device, dtype=torch.float32)[:, None]
    x, y = torch.broadcast_tensors((u - cx) / fx, (v - cy) / fy)
    rays = torch.stack((x, y, torch.ones_like(x)), dim=2).flatten(3)
    place = first_from_camera[..., :3, 3:]
    ends = first_from_camera[..., :3, :3] @ rays + place
    ends = F.normalize(ends, dim=2)
    return torch.cat((place.expand_as(ends), ends), dim=2).unflatten(3, (height, width))
