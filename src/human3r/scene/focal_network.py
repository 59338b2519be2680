"""Focal length of one image, as a network: how strongly its lines converge says how wide it looks.

It reads the two coarsest maps of the depth network's image encoder, tells every place where in the
image it lies, lets all places read one another, and answers with the logarithm of the focal length
over the image's long side and of the error to expect of it.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from human3r.model.layers import EncoderBlock
from human3r.scene.depth_network import map_widths

_WIDTH = 128
_HEADS = 4
_BLOCKS = 3
_USUAL_LOG_FOCAL = -0.15
"""Logarithm of the focal length over the long side, of the training images."""
_USUAL_LOG_ERROR = -1.7


class FocalNetwork(nn.Module):
    """From maps of the image encoder to the focal length."""

    def __init__(self) -> None:
        super().__init__()
        fine, coarse = map_widths()[-2:]
        self.fine = nn.Conv2d(fine, _WIDTH, 1)
        self.coarse = nn.Conv2d(coarse, _WIDTH, 1)
        self.place = nn.Sequential(nn.Linear(2, 64), nn.GELU(), nn.Linear(64, _WIDTH))
        self.blocks = nn.ModuleList(EncoderBlock(_WIDTH, _HEADS) for _ in range(_BLOCKS))
        self.norm = nn.LayerNorm(_WIDTH)
        self.answer = nn.Linear(_WIDTH, 2)
        nn.init.zeros_(self.answer.weight)
        nn.init.zeros_(self.answer.bias)

    def forward(
        self,
        maps: list[Float[Tensor, "batch _ _ _"]],
        size_px: tuple[int, int],
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
        """Logarithms of focal length over long side, and of the mean absolute error of that.

        Args:
            maps: of ``Trunk``, the last two are read; divided by their usual sizes.
            size_px: width and height of the image without its padding, whose middle is the
                principal point.
        """
        fine, coarse = maps[-2:]
        x = self.coarse(coarse) + F.avg_pool2d(self.fine(fine), 2)
        places = _places(x.shape[2], x.shape[3], size_px).to(x.device)
        tokens = x.flatten(2).mT + self.place(places)
        for block in self.blocks:
            tokens = block(tokens)
        log_focal, log_error = self.answer(self.norm(tokens).mean(1)).unbind(-1)
        return log_focal + _USUAL_LOG_FOCAL, log_error + _USUAL_LOG_ERROR


def _places(rows: int, columns: int, size_px: tuple[int, int]) -> Float[Tensor, "tokens 2"]:
    """Middles of the coarsest map's cells from the image's middle, in long sides."""
    width, height = size_px
    long = max(size_px)
    x = ((torch.arange(columns) + 0.5) * 32 - width / 2) / long
    y = ((torch.arange(rows) + 0.5) * 32 - height / 2) / long
    return torch.stack((x.expand(rows, -1), y[:, None].expand(-1, columns)), -1).flatten(0, 1)
