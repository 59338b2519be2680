"""The loop: losses fall, a resumed training is the same training, failures do no harm."""

import itertools
import json
import math
import shutil
from dataclasses import replace

import pytest
import torch
from human3r_lab.training import trainer as trainer_module
from human3r_lab.training.checkpoints import list_checkpoints, load_checkpoint, load_newest
from human3r_lab.training.duration import Cadence, Duration
from human3r_lab.training.initial import new_network
from human3r_lab.training.recipes import PROMPT_TUNED, choose_parameters, make_recipe
from human3r_lab.training.run_log import RunLog, read_log
from human3r_lab.training.schedule import rate
from human3r_lab.training.trainer import Trainer

from human3r.errors import ConfigError, InputError, NonFiniteError, OutputError
from tests.training.small import PLAN, SMALL, sequences, small_trainer

BAD_STEPS = 3
ALWAYS = Cadence(checkpoint_s=0.0, validate_steps=2)


@pytest.fixture(autouse=True)
def few_bad_steps(monkeypatch):
    monkeypatch.setattr(trainer_module, "MAX_BAD_STEPS", BAD_STEPS)


@pytest.fixture
def make_trainer(data_folder, tmp_path):
    def make(name: str = "run", plan: dict | None = None, **changes) -> Trainer:
        used = replace(PLAN, **(plan or {}))
        return small_trainer(data_folder, tmp_path / name, used, **changes)

    return make


@pytest.fixture(scope="module")
def one_step(data_folder, tmp_path_factory):
    """The folder of a training that took one step. Leave it as it is."""
    folder = tmp_path_factory.mktemp("one_step")
    small_trainer(data_folder, folder).run(Duration(steps=1))
    return folder


def equal_weights(a: Trainer, b: Trainer) -> bool:
    average = b.average()
    return all(
        torch.equal(p, q)
        for p, q in zip(a.network.parameters(), b.network.parameters(), strict=True)
    ) and all(torch.equal(p, average[name]) for name, p in a.average().items())


def test_losses_fall(make_trainer):
    change = replace(make_trainer().plan.augmentation, sizes_px=((80, 48, 1.0),), degradation=0)
    trainer = make_trainer(plan={"augmentation": change})
    summary = trainer.run(Duration(steps=14))
    lines = read_log(trainer.folder / "log.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 15))
    early = sum(line["loss"] for line in lines[:5])
    late = sum(line["loss"] for line in lines[-5:])
    assert late < 0.9 * early
    assert (summary.steps, summary.images, summary.skipped) == (14, 14 * 2 * 3, 0)
    assert 0 <= summary.wait_share < 1


def test_the_human_branch_can_learn_first(make_trainer):
    trainer = make_trainer(recipe="human-branch")
    before = {name: p.clone() for name, p in trainer.network.named_parameters()}
    trainer.run(Duration(steps=12))
    lines = read_log(trainer.folder / "log.jsonl")
    assert set(lines[0]["terms"]) == {"mask", "detection", "offset", "hints"}
    assert sum(line["loss"] for line in lines[-4:]) < sum(line["loss"] for line in lines[:4])
    moved = {n for n, p in trainer.network.named_parameters() if not torch.equal(p, before[n])}
    assert "backbone.encoder.blocks.0.attn.qkv.weight" in moved
    assert {name.split(".")[0] for name in moved} == {"backbone", "downstream_head"}
    assert not any("dpt" in name or "dec" in name for name in moved)


def test_a_resumed_training_is_the_same(make_trainer):
    straight = make_trainer("straight")
    straight.run(Duration(steps=3))
    make_trainer("broken").run(Duration(steps=3), should_stop=stop_after(1))
    resumed = make_trainer("broken")
    assert resumed.resume()
    assert resumed.step == 1
    resumed.run(Duration(steps=3))
    assert equal_weights(straight, resumed)
    losses = [
        [line["loss"] for line in read_log(t.folder / "log.jsonl")] for t in (straight, resumed)
    ]
    assert losses[0] == losses[1]


def stop_after(steps: int):
    asked = iter(range(steps + 1))
    return lambda: next(asked) == steps


def test_nothing_to_resume_begins_anew(make_trainer):
    assert not make_trainer().resume()


def test_a_folder_with_a_training_is_not_begun_again(one_step, data_folder):
    with pytest.raises(InputError, match="--resume"):
        small_trainer(data_folder, one_step).require_fresh()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"plan": {"batch": 3}}, "batch"),
        ({"plan": {"seed": 6}}, "seed"),
        ({"plan": {"config": replace(SMALL, memory_slots=9)}}, "memory_slots"),
        ({"learning_rate": 1e-3}, "learning_rate"),
        ({"precision": "bfloat16"}, "precision"),
    ],
)
def test_another_training_is_not_resumed(one_step, data_folder, change, word):
    plan, others = replace(PLAN, **change.get("plan", {})), {**change}
    others.pop("plan", None)
    with pytest.raises(InputError, match=word):
        small_trainer(data_folder, one_step, plan, **others).resume()


def test_only_the_newest_checkpoints_are_kept(make_trainer):
    trainer = make_trainer()
    trainer.run(Duration(steps=4), cadence=ALWAYS)
    kept = [path.name for path in list_checkpoints(trainer.checkpoints)]
    assert kept == ["step-00000003.safetensors", "step-00000004.safetensors"]


def test_a_damaged_checkpoint_gives_way_to_the_one_before(make_trainer):
    trainer = make_trainer()
    trainer.run(Duration(steps=2), cadence=ALWAYS)
    newest = list_checkpoints(trainer.checkpoints)[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    again = make_trainer()
    assert again.resume()
    assert again.step == 1
    for path in list_checkpoints(trainer.checkpoints):
        path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="no readable checkpoint"):
        make_trainer().resume()


def test_leftovers_of_killed_processes_go(one_step, make_trainer):
    trainer = make_trainer()
    shutil.copytree(one_step, trainer.folder)
    leftover = trainer.checkpoints / ".step-00000009.safetensors.99999999.part"
    leftover.write_bytes(b"half")
    assert trainer.resume()
    assert not leftover.exists()


class BrokenLoss:
    """``compute_losses`` that gives NaN in some calls."""

    def __init__(self, broken: set[int]) -> None:
        self.broken, self.calls, self.real = broken, 0, trainer_module.compute_losses

    def __call__(self, *args):
        loss, terms = self.real(*args)
        self.calls += 1
        return (loss * math.nan if self.calls in self.broken else loss), terms


def test_a_step_that_is_not_finite_is_left_out(make_trainer, monkeypatch):
    monkeypatch.setattr(trainer_module, "compute_losses", BrokenLoss({2}))
    trainer = make_trainer()
    before = {}

    def remember(line):
        before[line["step"]] = {k: v.clone() for k, v in trainer.average().items()}

    assert trainer.run(Duration(steps=3), on_step=remember).skipped == 1
    for name, value in before[1].items():
        assert torch.equal(value, before[2][name]), name
    assert any(not torch.equal(value, before[3][name]) for name, value in before[2].items())
    line = read_log(trainer.folder / "log.jsonl")[1]
    assert line["skipped"]
    assert line["loss"] is None


def test_many_bad_steps_lead_back_to_the_checkpoint(make_trainer, monkeypatch, caplog):
    trainer = make_trainer()
    trainer.run(Duration(steps=9), should_stop=stop_after(2))
    good = {name: value.clone() for name, value in trainer.average().items()}
    with torch.no_grad():
        for parameter in trainer.network.parameters():
            parameter.fill_(math.nan)  # Something has gone wrong since.
    trainer.run(Duration(steps=2 + BAD_STEPS))
    assert "back to the weights of step 2" in caplog.text
    for name, value in trainer.average().items():
        assert torch.equal(value, good[name]), name
    assert trainer.skipped == BAD_STEPS
    assert trainer.run(Duration(steps=3 + BAD_STEPS)).skipped == BAD_STEPS


def test_failing_again_from_the_checkpoint_ends_it(one_step, make_trainer, monkeypatch):
    trainer = make_trainer()
    shutil.copytree(one_step, trainer.folder)
    assert trainer.resume()
    monkeypatch.setattr(trainer_module, "compute_losses", BrokenLoss(set(range(100))))
    with pytest.raises(NonFiniteError, match="--lr"):
        trainer.run(Duration(steps=100))
    checkpoint = load_newest(trainer.checkpoints)
    assert checkpoint.progress["step"] == 1  # The good one is still there.


def test_failing_without_a_checkpoint_ends_it(make_trainer, monkeypatch):
    monkeypatch.setattr(trainer_module, "compute_losses", BrokenLoss(set(range(100))))
    with pytest.raises(NonFiniteError, match="no checkpoint"):
        make_trainer().run(Duration(steps=100))


def test_a_full_disk_leaves_the_old_checkpoint(one_step, make_trainer, monkeypatch):
    trainer = make_trainer()
    shutil.copytree(one_step, trainer.folder)
    assert trainer.resume()

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("human3r_lab.training.checkpoints.save_file", full)
    with pytest.raises(OutputError, match="full"):
        trainer.run(Duration(steps=2))
    names = [path.name for path in trainer.checkpoints.iterdir()]
    assert names == ["step-00000001.safetensors"]
    load_checkpoint(trainer.checkpoints / names[0])


def test_validation_enters_the_log(make_trainer):
    trainer = make_trainer()
    seen = []
    trainer.run(
        Duration(steps=4),
        cadence=ALWAYS,
        validate=lambda t: seen.append(t.step) or {"depth_abs_rel": 0.5},
    )
    assert seen == [2, 4]
    lines = read_log(trainer.folder / "log.jsonl")
    assert [line.get("validation") for line in lines] == [
        None, {"depth_abs_rel": 0.5}, None, {"depth_abs_rel": 0.5}
    ]  # fmt: skip


def test_the_average_follows_the_weights(make_trainer):
    trainer = make_trainer()
    trainer.run(Duration(steps=5))
    weights, average = dict(trainer.network.named_parameters()), trainer.average()
    name = "downstream_head.mlp_classif.0.weight"
    start = dict(new_network(SMALL, seed=3).named_parameters())[name]
    moved, followed = weights[name] - start, average[name] - start
    assert 0 < followed.norm() < moved.norm()
    assert torch.cosine_similarity(moved.flatten(), followed.flatten(), dim=0) > 0.8


def test_bfloat16_learns_too(make_trainer):
    trainer = make_trainer(precision="bfloat16")
    assert trainer.run(Duration(steps=2)).skipped == 0
    assert all(p.dtype == torch.float32 for p in trainer.network.parameters())


def test_log_drops_what_will_be_repeated(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    log = RunLog(path, 2)
    log.write({"step": 3, "loss": math.nan})
    log.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"step": 1}, {"step": 2}, {"step": 3, "loss": None}]


def test_duration_ends_with_whichever_comes_first():
    assert Duration(steps=10).progress(5, 1e9) == 0.5
    assert Duration(minutes=2).progress(5, 60) == 0.5
    assert Duration(steps=10, minutes=2).progress(9, 60) == 0.9
    assert Duration(steps=10, minutes=2).progress(1, 600) == 1
    with pytest.raises(ConfigError, match="--minutes"):
        Duration()


@pytest.mark.parametrize("kind", ["cosine", "trapezoid"])
def test_rates_rise_then_fall(kind):
    values = [rate(i / 1000, kind, 0.1, 0.01) for i in range(1001)]
    assert values[0] == 0
    assert values[50] == pytest.approx(0.5)
    assert max(values) == pytest.approx(1)
    assert values[-1] == pytest.approx(0.01)
    falling = values[100:]
    assert all(a >= b for a, b in itertools.pairwise(falling))
    # The cosine is half way down in the middle of its fall, the trapezoid is still up.
    assert values[550] == pytest.approx(0.505 if kind == "cosine" else 1, abs=1e-3)


def test_other_recipes_and_precisions_are_refused(make_trainer):
    with pytest.raises(ConfigError, match="scratch"):
        make_recipe("magic", SMALL)
    with pytest.raises(ConfigError, match="bfloat16"):
        make_trainer(precision="float8")


def test_prompt_tuning_moves_prompts_masks_and_bodies_only():
    network = new_network(SMALL, seed=0)
    chosen = choose_parameters(network, make_recipe("prompt-tuning", SMALL))
    heads = ("mlp_fuse", "mlp_msk", "decpose", "decshape", "deccam", "decexpression")
    expected = {
        f"downstream_head.{head}.mlp.layers.{layer}.{part}"
        for head in heads
        for layer in (0, 2)
        for part in ("weight", "bias")
    }
    assert set(chosen) == expected | {"masked_smpl_token", "mhmr_masked_smpl_token"}
    for name, parameter in network.named_parameters():
        assert parameter.requires_grad is (name in chosen)


def test_scratch_moves_all_that_losses_reach():
    network = new_network(SMALL, seed=0)
    chosen = choose_parameters(network, make_recipe("scratch", SMALL))
    fixed = {name.split(".")[0] for name, _ in network.named_parameters() if name not in chosen}
    assert fixed == {
        *("patch_embed_ray_map", "enc_blocks_ray_map", "enc_norm_ray_map", "downstream_head"),
        *("masked_img_token", "masked_ray_map_token", "mhmr_masked_img_token", "backbone"),
    }
    assert not [name for name in chosen if "dpt_rgb" in name or "mask_token" in name]


def test_prompt_tuning_leaves_the_rest_as_it_was(data_folder, body_points, tmp_path):
    network = new_network(SMALL, seed=3)
    recipe = make_recipe("prompt-tuning", SMALL)
    plan = replace(PLAN, augmentation=replace(PLAN.augmentation, ray_map=0.5))
    trainer = Trainer(network, recipe, plan, sequences(data_folder), body_points, tmp_path)
    trainer.run(Duration(steps=3))
    before = dict(new_network(SMALL, seed=3).named_parameters())
    moved = {n for n, p in network.named_parameters() if not torch.equal(p, before[n])}
    heads = {name for name in before if any(part in PROMPT_TUNED for part in name.split("."))}
    assert moved == heads
