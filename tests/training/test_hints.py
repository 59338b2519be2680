"""What every token is asked about its person, and that the answers help nobody but learning."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from human3r_lab.datasets import ViewTruth
from human3r_lab.training.augmentation import crop_view, whole_image
from human3r_lab.training.batches import Batch, collate
from human3r_lab.training.duration import Duration
from human3r_lab.training.export import export_training
from human3r_lab.training.hints import _BODY, DenseHints, _heading, _place, _surface, hint_loss
from human3r_lab.training.targets import make_targets

from human3r.streaming.preprocess import fit_geometry
from tests.training.fake_sequences import make_views
from tests.training.small import small_trainer

SQUARE_PX = 224


@pytest.fixture(scope="module")
def view() -> ViewTruth:
    return crop_view(
        make_views(4, count=1, size_px=(256, 192))[0], whole_image(fit_geometry(256, 192, 224))
    )


@pytest.fixture(scope="module")
def batch(view) -> Batch:
    return collate([[make_targets(view, SQUARE_PX, 16)] * 2] * 2)


def test_tokens_see_who_is_at_their_centre(view, batch):
    seen = batch.token_person[0, 0].view(16, 16)
    height, width = view.depth_m.shape
    margin = (width - height) // 2
    targets = make_targets(view, SQUARE_PX, 16)
    distance = np.linalg.norm(view.people.head_camera, axis=1)
    number = {int(view.people.person_ids[i]): 1 + n for n, i in enumerate(np.argsort(distance))}
    assert len(targets.betas) == 2
    for row in range(16):
        for column in range(16):
            u, v = 14 * column + 7, 14 * row + 7 - margin
            inside = 0 <= v < height
            expected = number.get(int(view.person_index[v, u]), 0) if inside else 0
            assert seen[row, column] == expected
    assert {1, 2} <= set(seen.flatten().tolist())


def test_the_surface_is_that_of_the_person(batch, body_points):
    at = (batch.token_person > 0).nonzero()
    person = batch.token_person[tuple(at.T)] - 1
    surface = _surface(at, person, batch, body_points)
    # In the zero pose: heads above feet. The image says the same, upside down.
    rows = at[:, 2] // 16
    for who in range(2):
        mine = (person == who) & (at[:, 0] == 0) & (at[:, 1] == 0)
        order = torch.corrcoef(torch.stack((rows[mine].float(), surface[mine, 1])))[0, 1]
        assert order < -0.7  # Raised arms are high in the image only.
    assert surface[:, 1].max() < 0.25
    assert surface[:, 1].min() > -1.7


def test_the_place_is_that_of_the_head_in_the_picture(batch):
    at = (batch.token_person > 0).nonzero()
    person = batch.token_person[tuple(at.T)] - 1
    head = batch.head_camera[at[:, 0], at[:, 1], person]
    fx, fy, cx, cy = batch.camera[0, 0]
    pixels = torch.stack((head[:, 0] / head[:, 2] * fx + cx, head[:, 1] / head[:, 2] * fy + cy), -1)
    # From the corner of the first pixel to the centre of the picture, which is padded evenly.
    pixels += 0.5 - torch.tensor(batch.depth_m.shape[:1:-1]) / 2
    torch.testing.assert_close(14 * _place(at, person, batch), pixels, rtol=0, atol=0.02)


def test_headings_count_from_towards_the_camera():
    towards = torch.tensor([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])  # y of a camera points down.
    ahead, aside = torch.tensor([0.0, 0, 4]), torch.tensor([4.0, 0, 4])

    def turned(quarters: float) -> torch.Tensor:
        """The body turned to its own left, which is the camera's right."""
        angle = torch.tensor(quarters * torch.pi / 2)
        c, s = angle.cos(), angle.sin()
        return towards @ torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]])

    roots = torch.stack([turned(quarters) for quarters in (0, 1, 2, 3, 0.5)])
    assert _heading(roots, ahead.expand(5, 3)).tolist() == [0, 2, 4, 6, 1]
    # Who stands half-way to the right and looks straight back does not look at the camera.
    assert _heading(roots, aside.expand(5, 3)).tolist() == [1, 3, 5, 7, 2]


class Knowing(DenseHints):
    """Answers with the truth, first for tokens on people, then for heads."""

    def __init__(self, batch: Batch, body) -> None:
        super().__init__(24)
        self.batch, self.body = batch, body

    def forward(self, tokens):
        batch = self.batch
        at = (batch.token_person > 0).nonzero()
        person = batch.token_person[tuple(at.T)] - 1
        if len(tokens) != len(at):
            window, view, person = batch.is_present.nonzero().T
            at = torch.stack((window, view, batch.token_index[window, view, person]), 1)
        rotations = batch.rotations[at[:, 0], at[:, 1], person, :_BODY]
        head = batch.head_camera[at[:, 0], at[:, 1], person]
        columns = rotations[..., :2].flatten(2)
        return (
            columns[:, 0],
            columns[:, 1:].flatten(1),
            torch.eye(8)[_heading(rotations[:, 0], head)] * 100,
            _place(at, person, batch),
            head[:, 2:].log(),
            _surface(at, person, batch, self.body) if batch.token_person[tuple(at.T)].all() else 0,
        )


def test_the_truth_costs_nothing_and_ignorance_does(batch, body_points):
    tokens = torch.zeros(*batch.token_person.shape, 24)
    assert float(hint_loss(Knowing(batch, body_points), tokens, batch, body_points).detach()) < 1e-6
    assert float(hint_loss(DenseHints(24), tokens, batch, body_points).detach()) > 2


def test_heads_are_asked_where_nothing_of_the_body_is_seen(batch, body_points):
    hidden = replace(batch, token_person=torch.zeros_like(batch.token_person))
    tokens = torch.randn(*batch.token_person.shape, 24, requires_grad=True)
    hint_loss(DenseHints(24), tokens, hidden, body_points).backward()
    asked = tokens.grad.abs().sum(-1) > 0
    heads = torch.zeros_like(asked).scatter_(2, batch.token_index, True)
    assert torch.equal(asked, heads)


def test_nobody_to_ask_about_costs_nothing(batch, body_points):
    empty = replace(
        batch,
        token_person=torch.zeros_like(batch.token_person),
        is_present=torch.zeros_like(batch.is_present),
    )
    tokens = torch.zeros(*batch.token_person.shape, 24, requires_grad=True)
    loss = hint_loss(DenseHints(24), tokens, empty, body_points)
    loss.backward()
    assert float(loss.detach()) == 0
    assert not tokens.grad.any()


def test_hints_are_learnt_resumed_and_never_exported(data_folder, tmp_path):
    trainer = small_trainer(data_folder, tmp_path / "run")
    before = trainer._hints.answer.weight.detach().clone()
    trainer.run(Duration(steps=2))
    assert not torch.equal(before, trainer._hints.answer.weight)
    again = small_trainer(data_folder, tmp_path / "run")
    assert again.resume()
    assert torch.equal(again._hints.answer.weight, trainer._hints.answer.weight)
    assert not [name for name in trainer.average() if "hints" in name]
    from human3r.model.checkpoint import load_network

    path, _ = export_training(tmp_path / "run", tmp_path / "out.safetensors")
    assert not [name for name in load_network(path).state_dict() if "hints" in name]
