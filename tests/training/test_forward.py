"""The batched forward pass says what the streaming network says."""

import dataclasses

import pytest
import torch
from human3r_lab.training.batches import Batch
from human3r_lab.training.forward import (
    ForwardOptions,
    forward,
    forward_human_branch,
    forward_people,
    normalised,
)
from human3r_lab.training.losses import compute_losses
from human3r_lab.training.ray_maps import ray_maps
from human3r_lab.training.recipes import HUMAN_BRANCH, PEOPLE, choose_parameters, make_recipe

from human3r.model.heads import Detections
from human3r.model.network import Human3R
from human3r.streaming.preprocess import pad_to_square


def stream(network: Human3R, batch: Batch, window: int, monkeypatch) -> list:
    """One window through the streaming network, which is told where the heads are."""
    state, memory, outputs = network.initial_state(), network.initial_memory(), []
    for view in range(batch.image.shape[1]):
        found = true_detections(network, batch, window, view)
        # The peaks are not compared here; only who is taken for a person is replaced.
        answer = (torch.zeros(1), found, torch.tensor(len(found.scores)))
        monkeypatch.setattr(network, "_detect", lambda *_, answer=answer: answer)
        pixels = normalised(batch.image[window, view])[None]
        human_pixels = pad_to_square(pixels, network.config.human_size_px)
        wanted = ("world", "rgb", "mask")
        output = network(pixels, human_pixels, state, memory, is_first=view == 0, outputs=wanted)
        state, memory = output.state, output.memory
        outputs.append(output)
    return outputs


def true_detections(network: Human3R, batch: Batch, window: int, view: int) -> Detections:
    present = batch.is_present[window, view]
    tokens, patches = batch.token_index[window, view, present], batch.patch_index[window, view]
    grid = network.config.human_size_px // 14
    columns = batch.image.shape[-1] // 16
    patches = patches[present]
    return Detections(
        tokens=torch.stack((tokens // grid, tokens % grid), -1),
        scores=torch.ones(len(tokens)),
        head_square_px=torch.zeros(len(tokens), 2),
        patches=torch.stack((patches // columns, patches % columns), -1),
        token_index=tokens,
        patch_index=patches,
    )


@torch.no_grad()
def test_forward_equals_the_stream(network, make_batch, monkeypatch):
    batch = without_some_people(make_batch(0))
    predicted = forward(network, batch, ForwardOptions(with_rgb=True))
    compared = 0
    for window in range(batch.image.shape[0]):
        for view, output in enumerate(stream(network, batch, window, monkeypatch)):
            present = batch.is_present[window, view]
            side = predicted.mask_logits.shape[-1]
            pairs = [
                (predicted.points_self, output.points_camera.permute(2, 0, 1)),
                (predicted.confidence_self, output.confidence),
                (predicted.points_world, output.points_world.permute(2, 0, 1)),
                (predicted.confidence_world, output.confidence_world),
                (predicted.camera_pose, output.camera_pose),
                (predicted.rgb, output.rgb.permute(2, 0, 1)),
                (predicted.mask_logits.sigmoid(), output.person_probability.view(side, side)),
            ]
            for got, want in pairs:
                torch.testing.assert_close(got[window, view], want, rtol=1e-4, atol=2e-5)
            for name, got in vars(predicted.people).items():
                want = getattr(output.people, name)
                torch.testing.assert_close(got[window, view, present], want, rtol=1e-4, atol=2e-5)
                compared += len(want)
    assert compared >= 8


def without_some_people(batch: Batch) -> Batch:
    """One view of the batch loses its last person, another one everybody."""
    present = batch.is_present.clone()
    present[0, 1, -1] = False
    present[1, 2] = False
    batch = dataclasses.replace(batch, is_present=present)
    for name in ("token_index", "patch_index"):
        batch = dataclasses.replace(batch, **{name: getattr(batch, name) * present})
    assert present.any()
    return batch


@torch.no_grad()
def test_detection_scores_equal_the_stream(network, make_batch):
    batch = make_batch(1)
    predicted = forward(network, batch)
    pixels = normalised(batch.image[1, 0])[None]
    output = network(
        pixels,
        pad_to_square(pixels, network.config.human_size_px),
        network.initial_state(),
        network.initial_memory(),
        is_first=True,
        min_score=0.0,
    )
    got = predicted.detection_logits[1, 0].sigmoid()
    peaks = output.peaks.flatten()
    torch.testing.assert_close(got[peaks > 0], peaks[peaks > 0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_absent_people_matter_only_in_the_published_recipe(network, make_batch):
    batch = without_some_people(make_batch(0))
    more = padded(batch, 3)
    for mask_absent in (True, False):
        options = ForwardOptions(mask_absent=mask_absent)
        few = forward(network, batch, options).points_self
        many = forward(network, more, options).points_self
        assert torch.allclose(few, many, atol=1e-5) is mask_absent


def padded(batch: Batch, people: int) -> Batch:
    """The batch with room for more people, who are absent."""
    grown = {}
    for name in ("is_present", "token_index", "patch_index", "offset", "rotations"):
        grown[name] = pad_people(getattr(batch, name), people)
    for name in ("betas", "expression", "head_camera"):
        grown[name] = pad_people(getattr(batch, name), people)
    return dataclasses.replace(batch, **grown)


def pad_people(value: torch.Tensor, people: int) -> torch.Tensor:
    shape = (*value.shape[:2], people, *value.shape[3:])
    return torch.cat((value, torch.zeros(shape, dtype=value.dtype)), dim=2)


def test_nobody_at_all(network, make_batch):
    batch = make_batch(0)
    names = ("is_present", "token_index", "patch_index", "offset", "rotations", "betas")
    empty = {name: getattr(batch, name)[:, :, :0] for name in (*names, "expression", "head_camera")}
    predicted = forward(network, dataclasses.replace(batch, **empty))
    predicted.points_self.sum().backward()
    assert predicted.people.betas.shape[2] == 0


@torch.no_grad()
def test_chosen_world_views_are_those_of_all(network, make_batch):
    batch = make_batch(0)
    every, some = forward(network, batch), forward(network, batch, ForwardOptions(world_views=(2,)))
    torch.testing.assert_close(some.points_world[:, 0], every.points_world[:, 2])
    torch.testing.assert_close(some.points_self, every.points_self)


def test_saving_memory_changes_no_gradient(network, make_batch):
    batch = make_batch(0)
    gradients = []
    for save_memory in (False, True):
        network.zero_grad()
        predicted = forward(network, batch, ForwardOptions(save_memory=save_memory))
        (predicted.points_world.mean() + predicted.people.rotations.sum()).backward()
        gradients.append({n: p.grad for n, p in network.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_detached_heads_pass_no_gradient_to_the_encoders(network, make_batch):
    batch = make_batch(0)
    for detach_heads in (True, False):
        network.zero_grad()
        predicted = forward(network, batch, ForwardOptions(detach_heads=detach_heads))
        predicted.people.betas.sum().backward()
        reached = network.backbone.encoder.norm.weight.grad is not None
        assert reached is not detach_heads


@torch.no_grad()
def test_ray_maps_hold_place_and_ray(make_batch):
    batch = make_batch(0)
    maps = ray_maps(batch.camera, batch.first_from_camera, batch.depth_m.shape[-2:])
    window, view, v, u = 1, 2, 30, 21
    fx, fy, cx, cy = batch.camera[window, view]
    pose = batch.first_from_camera[window, view]
    ray = pose[:3, :3] @ torch.stack(((u - cx) / fx, (v - cy) / fy, torch.tensor(1.0)))
    end = ray + pose[:3, 3]
    torch.testing.assert_close(maps[window, view, :3, v, u], pose[:3, 3])
    torch.testing.assert_close(maps[window, view, 3:, v, u], end / end.norm())


@torch.no_grad()
def test_a_ray_map_changes_its_view_and_marks_the_others(network, make_batch):
    batch = make_batch(0)
    network.masked_ray_map_token.zero_()
    told = torch.zeros(batch.has_ray_map.shape, dtype=torch.bool)
    told[0, 1] = True
    plain = forward(network, batch).points_self
    with_map = forward(network, dataclasses.replace(batch, has_ray_map=told)).points_self
    assert torch.equal(plain[0, 0], with_map[0, 0])
    assert not torch.allclose(plain[0, 1], with_map[0, 1], rtol=1e-3)
    network.masked_ray_map_token.fill_(0.5)
    marked = forward(network, dataclasses.replace(batch, has_ray_map=told)).points_self
    assert not torch.allclose(marked[0, 0], with_map[0, 0], rtol=1e-3)


def test_bfloat16_stays_close(network, make_batch):
    batch = make_batch(0)
    full = forward(network, batch)
    with torch.autocast("cpu", torch.bfloat16):
        half = forward(network, batch)
    for name in ("points_self", "camera_pose", "detection_logits"):
        assert getattr(half, name).dtype == torch.float32
        torch.testing.assert_close(
            getattr(half, name), getattr(full, name), rtol=0.1, atol=0.1, msg=name
        )


@pytest.mark.parametrize("step", [0, 4])
def test_every_trained_parameter_gets_a_gradient(network, make_batch, body_points, step):
    recipe = make_recipe("scratch", network.config)
    chosen = choose_parameters(network, recipe)
    batch = make_batch(step)
    loss, _ = compute_losses(
        forward(network, batch, recipe.options), batch, body_points, recipe.loss
    )
    loss.backward()
    # Masked tokens stand only in absent people's places; ray maps and masks are never fed. The key
    # bias of a single query moves all logits alike, which changes nothing.
    unreached = {n for n, p in chosen.items() if p.grad is None or not p.grad.abs().sum()}
    asked_alone = "pose_retriever.read_blocks.0.cross_attn.projk.bias"
    allowed = ("masked_", "mask_token", "refinenet4.resConfUnit1", asked_alone)
    assert not {name for name in unreached if not any(word in name for word in allowed)}


@pytest.mark.parametrize("part", [forward_human_branch, forward_people])
def test_a_part_says_what_it_says_within_the_whole(part, network, make_batch):
    batch = make_batch(0)
    with torch.no_grad():
        alone, whole = part(network, batch), forward(network, batch)
    for name, value in vars(alone).items():
        expected = getattr(whole, name)
        if name == "people":
            value, expected = vars(value), vars(expected)
        torch.testing.assert_close(value, expected, msg=name)


SEEN = {"mask", "detection", "offset"}
BODIES = {"rotations", "translation", "direction", "betas", "joints", "vertices"} | {
    f"{what}_{how}" for what in ("joints", "vertices") for how in ("relative", "2d")
}


@pytest.mark.parametrize(
    ("name", "part", "modules", "terms"),
    [
        ("human-branch", forward_human_branch, HUMAN_BRANCH, SEEN),
        ("people", forward_people, PEOPLE, SEEN | BODIES),
    ],
)
def test_a_part_learns_all_of_itself_and_nothing_else(
    name, part, modules, terms, network, make_batch, body_points
):
    recipe = make_recipe(name, network.config)
    chosen = choose_parameters(network, recipe)
    known = {piece for name in chosen for piece in name.split(".") if piece in modules}
    assert known == set(modules)
    batch = make_batch(0)
    loss, said = compute_losses(part(network, batch), batch, body_points, recipe.loss)
    loss.backward()
    assert set(said) == terms
    moved = {n for n, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    # Nobody is absent who had to be stood in for, and no token of the picture is left out.
    assert {n for n in chosen if "mask_token" not in n and "masked_" not in n} <= moved
    assert moved <= set(chosen)
