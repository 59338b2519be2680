"""Questions that help learning and are forgotten afterwards: what every token knows of its person.

A body is one answer per person and view, far too few to learn from quickly. So each token of the
human branch that lies on a person, and each one with a head in it, also predicts that person,
by a linear layer that no weights file keeps: how the body is turned and bent, where on its surface
the token is, where in the picture and how far away the head is.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from human3r.model.heads import NUM_ROTATIONS
from human3r.model.layers import layer_norm
from human3r_lab.training.batches import Batch
from human3r_lab.training.body_points import BodyPoints

_BODY = 22
"""Rotations asked for: the root and the body without hands and jaw."""
_HEADINGS = 8
"""Directions that a body may face, all around."""
_ANSWERS = (6, (_BODY - 1) * 6, _HEADINGS, 2, 1, 3)
"""Numbers per question: root, other joints, heading, place and depth of the head, surface."""
_SHARES = (1.0, 1.0, 0.3, 0.2, 0.3)
"""Of root, other joints, heading (nats), place (tokens) and depth (logarithm); of the surface
(metres) it is 1."""
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
            # Unbent, and about 3 m away, as ``training.initial`` begins; which way the body faces
            # is open, so that the first guess is none.
            self.answer.bias[6 : _BODY * 6] = torch.tensor([1.0, 0, 0, 1, 0, 0]).repeat(_BODY - 1)
            self.answer.bias[sum(_ANSWERS[:4])] = 1.1

    def forward(self, tokens: Float[Tensor, "tokens width"]) -> tuple[Tensor, ...]:
        """Answers in the order of ``_ANSWERS``.

        Rotations are two columns of matrices, headings are logits, the depth is a logarithm.
        """
        return self.answer(self.norm(tokens)).float().split(_ANSWERS, dim=-1)


def hint_loss(
    hints: DenseHints,
    appearance: Float[Tensor, "batch views tokens width"],
    batch: Batch,
    body: BodyPoints,
) -> Float[Tensor, ""]:
    """Error of the predictions: the mean over all tokens on people plus that over all heads."""
    on_people = (batch.token_person > 0).nonzero()
    owners = batch.token_person[tuple(on_people.T)] - 1
    window, view, person = batch.is_present.nonzero().unbind(1)
    heads = torch.stack((window, view, batch.token_index[window, view, person]), dim=1)
    # Without anybody the loss is zero, but still of every parameter.
    loss = sum(p.sum() for p in hints.parameters()) * 0 + appearance.sum() * 0
    if len(on_people):
        answers = hints(appearance[tuple(on_people.T)].float())
        surface = (answers[-1] - _surface(on_people, owners, batch, body)).abs().mean()
        loss = loss + surface + _about_bodies(answers, on_people, owners, batch)
    if len(heads):
        answers = hints(appearance[tuple(heads.T)].float())
        loss = loss + _about_bodies(answers, heads, person, batch)
    return loss


def _about_bodies(
    answers: tuple[Tensor, ...], at: Tensor, person: Tensor, batch: Batch
) -> Float[Tensor, ""]:
    """Error of tokens at (window, view, token) about their person, besides the surface.

    Rotations are compared as the network states them, by two columns of each. That of the root
    counts squared: while front and back cannot be told apart, the best answer lies between them,
    and a matrix cannot say that.
    """
    root, joints, heading, place, depth, _ = answers
    window, view, _ = at.unbind(1)
    rotations = batch.rotations[window, view, person, :_BODY]
    columns = rotations[..., :2].flatten(2)
    head = batch.head_camera[window, view, person]
    terms = (
        (root - columns[:, 0]).square().mean(),
        (joints - columns[:, 1:].flatten(1)).abs().mean(),
        F.cross_entropy(heading, _heading(rotations[:, 0], head)),
        (place - _place(at, person, batch)).abs().mean(),
        (depth[:, 0] - head[:, 2].clamp_min(0.1).log()).abs().mean(),
    )
    return sum(share * term for share, term in zip(_SHARES, terms, strict=True))  # pyright: ignore[reportReturnType]


def _heading(root: Float[Tensor, "people 3 3"], head: Float[Tensor, "people 3"]) -> Tensor:
    """Which of the directions people face, seen from above: 0 towards the camera.

    A body in its zero pose faces along z; the camera looks along z too, and its y points down.
    """
    x, z = F.normalize(head[:, ::2], dim=1).unbind(1)
    facing_x, facing_z = root[:, 0, 2], root[:, 2, 2]
    turned = torch.atan2(facing_x * z - facing_z * x, -(facing_x * x + facing_z * z))
    return (turned * (_HEADINGS / (2 * math.pi))).round().long() % _HEADINGS


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


def _place(
    at: Int[Tensor, "tokens 3"], person: Int[Tensor, " tokens"], batch: Batch
) -> Float[Tensor, "tokens 2"]:
    """From the centre of the square picture to the head, in tokens."""
    window, view, _ = at.unbind(1)
    side = round(batch.token_person.shape[2] ** 0.5)
    head = batch.token_index[window, view, person]
    token = torch.stack((head % side, head // side), dim=-1) + 0.5
    return token + batch.offset[window, view, person] - side / 2
