"""CUT3R and Multi-HMR become the network that prompt tuning begins with."""

import numpy as np
import pytest
import torch
from human3r_lab.training.initial import new_network
from human3r_lab.training.merge import merged_network

from human3r.errors import WeightsError
from tests.training.small import SMALL

HUMAN = ("backbone.", "mhmr_", "masked_smpl_token")
PEOPLE = (
    *("mlp_classif", "mlp_offset", "mlp_msk", "mlp_fuse"),
    *("decpose", "decshape", "deccam", "decexpression", "init_"),
)


def belongs_to_people(key: str) -> bool:
    return key.startswith(HUMAN) or any(part in key for part in PEOPLE)


@pytest.fixture
def cut3r():
    """A checkpoint with everything but people, and one tensor that nobody knows."""
    state = new_network(SMALL, seed=11).state_dict()
    model = {key: value for key, value in state.items() if not belongs_to_people(key)}
    return {
        **{f"module.{key}": value for key, value in model.items()},
        "module.extra": torch.ones(2),
    }


@pytest.fixture
def multi_hmr():
    state = new_network(SMALL, seed=12).state_dict()
    model = {key: value for key, value in state.items() if key.startswith("backbone.")}
    for key, value in state.items():
        if "mlp_classif" in key or "mlp_offset" in key:
            model[key.removeprefix("downstream_head.")] = value
    return {**model, "x_attention_head.init_body_pose": torch.ones(1, 318)}


def write(folder, cut3r, multi_hmr):
    torch.save({"model": cut3r}, folder / "cut3r.pth")
    torch.save({"model_state_dict": multi_hmr}, folder / "multi_hmr.pt")
    return folder / "cut3r.pth", folder / "multi_hmr.pt"


def test_every_part_comes_from_where_it_should(tmp_path, cut3r, multi_hmr):
    merged = merged_network(SMALL, *write(tmp_path, cut3r, multi_hmr)).state_dict()
    sources = {seed: new_network(SMALL, seed).state_dict() for seed in (0, 11, 12)}
    for key, value in merged.items():
        if key.startswith("backbone.") or "mlp_classif" in key or "mlp_offset" in key:
            source = 12
        else:
            source = 0 if belongs_to_people(key) else 11
        if key != "downstream_head.init_body_pose":
            assert torch.equal(value, sources[source][key]), key
    identity = torch.tensor([1.0, 0, 0, 1, 0, 0]).repeat(53)
    assert torch.equal(merged["downstream_head.init_body_pose"][0], identity)


def test_a_source_without_state_stream_lends_its_image_stream(tmp_path, cut3r, multi_hmr):
    cut3r = {key: value for key, value in cut3r.items() if "dec_blocks_state" not in key}
    merged = merged_network(SMALL, *write(tmp_path, cut3r, multi_hmr))
    for name, value in merged.dec_blocks.state_dict().items():
        assert torch.equal(value, merged.dec_blocks_state.state_dict()[name])


def test_mean_parameters_land_where_the_reference_puts_them(tmp_path, cut3r, multi_hmr):
    pose, shape = np.arange(144, dtype=np.float32), np.arange(10, dtype=np.float32)
    np.savez(tmp_path / "mean.npz", pose=pose, shape=shape, cam=np.zeros(3))
    files = write(tmp_path, cut3r, multi_hmr)
    heads = merged_network(SMALL, *files, tmp_path / "mean.npz").downstream_head
    np.testing.assert_array_equal(heads.init_body_pose[0, :144], pose)
    np.testing.assert_array_equal(heads.init_body_pose[0, 144:150], [1, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(heads.init_betas[0], shape)
    (tmp_path / "mean.npz").write_bytes(b"no archive")
    with pytest.raises(WeightsError, match="mean parameters"):
        merged_network(SMALL, *files, tmp_path / "mean.npz")


def test_what_does_not_fit_is_named(tmp_path, cut3r, multi_hmr):
    lacking = {key: value for key, value in cut3r.items() if key != "module.enc_norm.weight"}
    with pytest.raises(WeightsError, match=r"1 missing, for example enc_norm\.weight"):
        merged_network(SMALL, *write(tmp_path, lacking, multi_hmr))
    multi_hmr["backbone.encoder.norm.weight"] = torch.ones(7)
    with pytest.raises(WeightsError, match=r"of another shape.*encoder.norm.weight \(7,\)"):
        merged_network(SMALL, *write(tmp_path, cut3r, multi_hmr))
