import argparse
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from human3r.errors import OutputError, WeightsError
from human3r.model.variants import VARIANTS
from human3r.model.weights_inspection import describe_weights
from human3r.model.weights_schema import alias, network_shapes
from human3r.model.weights_writer import convert_checkpoint, read_manifest, write_seeded
from tests.conftest import MANIFESTS
from tests.model.torch_files import Bomb

TINY_TEXT = """ARCroco3DStereo(ARCroco3DStereoConfig(state_size=50, local_mem_size=24,
    img_size=(160, 160), enc_embed_dim=192, enc_depth=3, enc_num_heads=6, dec_embed_dim=128,
    dec_depth=4, dec_num_heads=4, backbone='dinov2_vits14', mhmr_img_res=224,
    depth_mode=('exp', -inf, inf), head_type='dpt', patch_embed_cls='ManyAR_PatchEmbed'))"""

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def thin_state() -> State:
    """Right names and shapes, each storage one number: what is refused before numbers are read."""
    shapes = network_shapes(VARIANTS["tiny"])
    return {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}


def numbered_state() -> State:
    """A number of its own for every element of a tensor."""
    state: State = {}
    for index, (key, shape) in enumerate(network_shapes(VARIANTS["tiny"]).items()):
        numbers = torch.arange(math.prod(shape), dtype=torch.float32).view(shape) + index
        state[key] = state.get(alias(key), numbers)
    return state


@pytest.fixture
def save(tmp_path):
    """Writes a checkpoint as training scripts do; gives its path and a target beside it."""

    def write(state: object, args: object = TINY_TEXT, **more: object) -> tuple[Path, Path]:
        if isinstance(args, str):
            args = argparse.Namespace(model=args)
        path = tmp_path / "checkpoint.pth"
        torch.save({"model": state, "args": args, **more}, path)
        return path, tmp_path / "out.safetensors"

    return write


def refuse(paths: tuple[Path, Path], match: str, **options: object) -> None:
    """Asserts that conversion is refused with these words and leaves nothing behind."""
    source, target = paths
    with pytest.raises(WeightsError, match=match):
        convert_checkpoint(source, target, **options)
    assert sorted(source.parent.iterdir()) == [source]


def test_a_training_checkpoint_converts_to_the_same_numbers(save):
    wanted = numbered_state()
    # As data-parallel training writes it, other entries included, one precision mixed in, and
    # without the second names of shared tensors.
    state = {f"module.{key}": t for key, t in wanted.items() if ".layer_rn." not in key}
    state["module.enc_norm.weight"] = wanted["enc_norm.weight"].double()
    source, target = save(state, optimizer={"state": {0: torch.ones(3)}}, epoch=3)
    report = convert_checkpoint(source, target)
    assert report.header.config == VARIANTS["tiny"]
    assert report.header.variant == "tiny"
    assert report.num_tensors == 827
    assert report.num_parameters == 95_590_862
    assert len(report.filled_aliases) == 12
    assert report.ignored_entries == ("optimizer", "epoch")
    with safe_open(target, framework="pt") as file:
        assert set(file.keys()) == set(wanted)
        for key, tensor in wanted.items():
            assert torch.equal(file.get_tensor(key), tensor), key
    assert describe_weights(target)["numbers"] == "95590862"
    target.unlink()


def test_code_anywhere_in_a_checkpoint_is_not_run(thin_state: State, save, tmp_path):
    mark = tmp_path / "mark"
    bomb = Bomb(mark)
    first = next(iter(thin_state))
    for paths, match in (
        ((thin_state | {first: bomb}, TINY_TEXT), "system; expected a tensor"),
        ((thin_state | {"more": [bomb]}, TINY_TEXT), "more is a list; expected a tensor"),
        (([bomb], TINY_TEXT), "no mapping"),
        ((bomb, bomb), "cls_token is missing"),
        ((thin_state, argparse.Namespace(model=bomb)), "inside its storage"),
        ((thin_state, bomb), "inside its storage"),
    ):
        refuse(save(*paths), match)
    hostile = TINY_TEXT.replace("50", f"__import__('os').system('touch {mark}')", 1)
    refuse(save(thin_state, hostile), "__import__.*--variant")
    assert not mark.exists()


def test_differences_are_named_and_bounded(thin_state: State, save):
    def some(*names: str) -> State:
        return {key: value for key, value in thin_state.items() if key not in names}

    refuse(save(some("enc_norm.bias")), "1 missing: enc_norm.bias")
    both = [f"downstream_head.dpt_rgb.scratch.{n}.weight" for n in ("layer1_rn", "layer_rn.0")]
    refuse(save(some(*both)), "2 missing: .*layer1_rn")
    refuse(save(thin_state | {"extra": torch.ones(1)}), "1 unexpected: extra")
    wrong = torch.zeros(()).expand(1, 2, 128)
    refuse(
        save(thin_state | {"pose_token": wrong}),
        r"pose_token \(1, 2, 128\) instead of \(1, 1, 128\)",
    )
    refuse(save({"pose_token": wrong}), "826 missing: .* and 818 more", variant="tiny")
    many = {f"extra.{i}" + "x" * 10_000: torch.ones(1) for i in range(50)}
    with pytest.raises(WeightsError, match="42 more") as caught:
        convert_checkpoint(*save(thin_state | many))
    assert len(str(caught.value)) < 2000


def test_numbers_that_are_not_finite_are_refused(thin_state: State, save):
    for bad in (torch.nan, torch.inf):
        state = thin_state | {"pose_token": torch.full((1, 1, 128), bad)}
        refuse(save(state), "pose_token holds NaN")
    huge = torch.full((1, 1, 128), 1e300, dtype=torch.float64)
    refuse(save(thin_state | {"pose_token": huge}), "pose_token holds NaN or numbers beyond")


def test_repeated_storages_do_not_grow(thin_state: State, save):
    refuse(save(thin_state), "128 elements up to number 0 of 1 stored")


def test_a_network_of_impossible_size_is_refused_before_it_is_built(thin_state: State, save):
    for old, new, seen in (
        ("enc_depth=3", "enc_depth=2000000000", "encoder_depth=2000000000; expected 1 to 100"),
        ("state_size=50", "state_size=-1", "state_tokens=-1; expected 1 to 65536"),
    ):
        refuse(save(thin_state, TINY_TEXT.replace(old, new)), seen)


def test_without_arguments_the_shapes_decide(thin_state: State, save):
    message = "inside its storage"  # past the choice of the network
    refuse(save(thin_state, argparse.Namespace()), message)
    refuse(save(thin_state, None), message)
    refuse(save(thin_state, ""), message)
    shapes = network_shapes(VARIANTS["human3r_672L"])
    large = {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}
    refuse(save(large, None), "672L, human3r_896L.*--variant")
    refuse(save(large, None), message, variant="human3r_896L")
    refuse(save(large, None), message, human_size_px=672)


def test_what_the_user_says_must_not_contradict_the_file(thin_state: State, save):
    refuse(save(thin_state), "224, not 672.*--human-size", human_size_px=672)
    refuse(save(thin_state), "of another shape", variant="human3r_672S")
    refuse(save(thin_state), "no variant; expected one of tiny", variant="human3r_1000X")
    refuse(save(thin_state, "nonsense("), "inside its storage", variant="tiny")


def test_another_dict_is_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"state_dict": {}, "epoch": 1}, path)
    refuse((path, tmp_path / "out.safetensors"), "holds state_dict, epoch; expected an entry model")


def test_a_target_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(OutputError, match="No such file"):
        write_seeded("tiny", tmp_path / "no" / "out.safetensors")


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_give_networks_and_shapes(golden_dir, name):
    config, shapes = read_manifest(golden_dir / "manifests" / f"{name}.json")
    assert config == VARIANTS[name]
    assert shapes == network_shapes(config)


def test_a_list_of_shapes_alone_needs_a_name_where_two_networks_fit(golden_dir, tmp_path):
    raw = tmp_path / "raw.json"
    for name in ("tiny", "human3r_672L"):
        manifest = golden_dir / "manifests" / f"{name}.json"
        raw.write_text(json.dumps(json.loads(manifest.read_text())["tensors"]))
        assert read_manifest(raw, name)[0] == VARIANTS[name]
    with pytest.raises(WeightsError, match="--variant"):
        read_manifest(raw)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "cannot be read as a manifest"),
        ("[" * 100_000, "cannot be read as a manifest"),
        ("[]", "lists no tensors"),
        ('{"tensors": {"a": {}}}', "lists no tensors"),
        ('{"tensors": {"a": {"shape": ["x"]}}}', "lists no tensors"),
        ('{"a": {"shape": [1]}}', "cls_token is missing"),
        ('{"tensors": {}, "config": 3}', "config is no mapping"),
        ('{"tensors": {}, "config": {"mhmr_img_res": 672}}', "1463 missing"),
        ('{"tensors": {}, "config": {"mhmr_img_res": 672, "enc_depth": 1000000}}', "enc.*depth"),
    ],
)
def test_other_manifests_are_refused(tmp_path, text, match):
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(WeightsError, match=match):
        write_seeded(path, tmp_path / "out.safetensors")
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(WeightsError, match="tiny, human3r_mini, human3r_672S"):
        write_seeded("huge", tmp_path / "out.safetensors")


def test_a_network_of_other_sizes_is_seeded_from_its_manifest(golden_dir, tmp_path):
    content = json.loads((golden_dir / "manifests" / "tiny.json").read_text())
    content["config"]["state_size"] = 40
    content["tensors"]["register_tokens.weight"]["shape"] = [40, 192]
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content))
    report = write_seeded(path, tmp_path / "out.safetensors")
    assert report.header.variant == "custom"
    assert report.header.config.state_tokens == 40
    report.path.unlink()
    content["tensors"]["register_tokens.weight"]["shape"] = [41, 192]
    path.write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=r"register_tokens.weight \(41, 192\) instead"):
        write_seeded(path, tmp_path / "other.safetensors")


def test_a_killed_process_leaves_nothing_that_looks_whole(tmp_path):
    code = (
        "import sys; from human3r.model.weights_writer import write_seeded;"
        "write_seeded('tiny', sys.argv[1])"
    )
    target = tmp_path / "out.safetensors"
    process = subprocess.Popen([sys.executable, "-c", code, str(target)])
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    left = list(tmp_path.iterdir())
    assert left
    assert all(path.suffix != ".safetensors" for path in left)
