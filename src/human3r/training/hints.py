"""Questions that help learning and are forgotten afterwards: what every token knows of its person.

A body is one answer per person and view, far too few to learn from quickly. So each token of the
human branch that lies on a person is asked about that person too, by a linear layer that no weights
file keeps: how the body is turned and bent, where on its surface the token is, where the head is.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from human3r.geometry.rotation import matrix_from_6d
from human3r.model.heads import NUM_ROTATIONS
from human3r.model.layers import layer_norm
from human3r.training.batches import Batch
from human3r.training.body_points import BodyPoints

_BODY = 22
"""Rotations asked for: the root and the body without hands and jaw."""
_ANSWERS = (_BODY * 6, 3, 2, 1)
"""Numbers per question: rotations, place on the surface, way to the head, depth of the head."""
_SHARES = (1.0, 1.0, 1.0, 0.1, 0.3)
"""Of root, other joints, surface (metres), way (tokens) and depth (logarithm)."""
_VERTEX_STRIDE = 4


class DenseHints(nn.Module):
    """The linear layer that answers for every token.

    Args:
        width: of the human branch's tokens.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = layer_norm(width)
        self.answer = nn.Linear(width, sum(_ANSWERS))
        with torch.no_grad():
            self.answer.weight.mul_(0.1)
            self.answer.bias.zero_()
            # Upright and facing the camera, about 3 m away, as ``training.initial`` begins.
            upright = torch.tensor([1.0, 0, 0, -1, 0, 0])
            self.answer.bias[: _BODY * 6] = torch.tensor([1.0, 0, 0, 1, 0, 0]).repeat(_BODY)
            self.answer.bias[:6] = upright
            self.answer.bias[-1] = 1.1

    def forward(
        self, tokens: Float[Tensor, "tokens width"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Rotations [tokens, 22, 3, 3], surface [tokens, 3], way [tokens, 2], log depth."""
        parts = self.answer(self.norm(tokens)).float().split(_ANSWERS, dim=-1)
        rotations, surface, way, depth = parts
        return matrix_from_6d(rotations.unflatten(-1, (_BODY, 6))), surface, way, depth[:, 0]


def hint_loss(
    hints: DenseHints,
    appearance: Float[Tensor, "batch views tokens width"],
    batch: Batch,
    body: BodyPoints,
) -> Float[Tensor, ""]:
    """How wrong the answers are: L1, mean over all tokens on people."""
    at = (batch.token_person > 0).nonzero()
    window, view, token = at.unbind(1)
    if not len(at):
        return appearance.sum() * 0 + sum(p.sum() for p in hints.parameters()) * 0
    person = batch.token_person[window, view, token] - 1
    rotations, surface, way, depth = hints(appearance[window, view, token].float())
    true_rotations = batch.rotations[window, view, person, :_BODY]
    difference = (rotations - true_rotations).abs().flatten(2).mean(dim=2)
    true_depth = batch.head_camera[window, view, person, 2].clamp_min(0.1).log()
    terms = (
        difference[:, 0].mean(),
        difference[:, 1:].mean(),
        (surface - _surface(at, person, batch, body)).abs().mean(),
        (way - _way(at, person, batch)).abs().mean(),
        (depth - true_depth).abs().mean(),
    )
    return sum(share * term for share, term in zip(_SHARES, terms, strict=True))


@torch.no_grad()
def _surface(
    at: Tensor, person: Tensor, batch: Batch, body: BodyPoints
) -> Float[Tensor, "tokens 3"]:
    """Where on the mean body in its zero pose the tokens are, metres from the head joint.

    That is the place of the vertex which, on the posed body, is nearest to what the token shows.
    """
    window, view, token = at.unbind(1)
    names = ("rotations", "betas", "expression", "head_camera")
    # Each person is posed once, however many tokens show them.
    slots = batch.is_present.shape[2]
    number = (window * batch.is_present.shape[1] + view) * slots + person
    shown, number = number.unique(return_inverse=True)
    _, vertices = body(*(getattr(batch, name).flatten(0, 2)[shown] for name in names))
    vertices = vertices[:, ::_VERTEX_STRIDE]
    points = batch.token_point[window, view, token]
    nearest = torch.cat(
        [
            (vertices[some] - point[:, None]).square().sum(-1).argmin(dim=1)
            for some, point in zip(number.split(1024), points.split(1024), strict=True)
        ]
    )
    still = torch.eye(3, device=points.device).repeat(1, NUM_ROTATIONS, 1, 1)
    zeros = [points.new_zeros(1, getattr(batch, name).shape[-1]) for name in names[1:]]
    return body(still, *zeros)[1][0, ::_VERTEX_STRIDE][nearest]


def _way(at: Tensor, person: Tensor, batch: Batch) -> Float[Tensor, "tokens 2"]:
    """From the tokens' centres to the head, in tokens."""
    window, view, token = at.unbind(1)
    side = round(batch.token_person.shape[2] ** 0.5)
    head = batch.token_index[window, view, person]
    columns, rows = head % side - token % side, head // side - token // side
    return torch.stack((columns, rows), dim=-1) + batch.offset[window, view, person]
