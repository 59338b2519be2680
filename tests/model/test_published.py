import argparse
import io
import json
import math
import pickle
import types
from dataclasses import replace

import pytest

from human3r.errors import WeightsError
from human3r.model.published import (
    config_from_keywords,
    config_from_shapes,
    human_size_from_name,
    model_text,
    parse_model_text,
)
from human3r.model.variants import VARIANTS
from human3r.pickles import load_inert
from tests.conftest import MANIFESTS

TEXT = """ARCroco3DStereo(ARCroco3DStereoConfig(freeze='encoder_and_decoder_and_head',
    state_size=768, state_pe='2d', pos_embed='RoPE100', rgb_head=True, pose_head=True,
    msk_head=True, patch_embed_cls='ManyAR_PatchEmbed', img_size=(512, 512), head_type='dpt',
    output_mode='pts3d+pose+smpl', depth_mode=('exp', -inf, inf),
    conf_mode=('exp', 1, float('inf')), pose_mode=['exp', float('-inf'), inf],
    enc_embed_dim=1024, enc_depth=24, enc_num_heads=16, dec_embed_dim=768, dec_depth=12,
    dec_num_heads=12, landscape_only=False, backbone='dinov2_vitl14', mhmr_img_res=896))"""


def inert(value: object) -> object:
    data = pickle.dumps(value)
    return load_inert(io.BytesIO(data), len(data))


def manifest(golden_dir, name: str) -> dict:
    return json.loads((golden_dir / "manifests" / f"{name}.json").read_text())


def shapes_of(golden_dir, name: str) -> dict:
    listed = manifest(golden_dir, name)["tensors"]
    return {key: tuple(item["shape"]) for key, item in listed.items()}


def test_the_published_text_gives_the_published_network():
    keywords = parse_model_text(TEXT)
    assert keywords["conf_mode"] == ("exp", 1, math.inf)
    assert keywords["pose_mode"] == ("exp", -math.inf, math.inf)
    assert config_from_keywords(keywords) == VARIANTS["human3r_896L"]


@pytest.mark.parametrize(
    "hostile",
    [
        "__import__('os').system('touch mark')",
        "ARCroco3DStereo(__import__('os').system('touch mark'))",
        TEXT.replace("state_size=768", "state_size=__import__('os').system('touch mark')"),
        TEXT.replace("state_size=768", "state_size=open('mark', 'w')"),
        TEXT.replace("state_size=768", "state_size=[i for i in ()]"),
        TEXT.replace("state_size=768", "state_size=().__class__"),
        TEXT.replace("state_size=768", "state_size=9**9**9"),
        TEXT.replace("state_size=768", "state_size=f'{1}'"),
        TEXT.replace("state_size=768", "state_size=lambda: 1"),
        TEXT.replace("state_size=768", "state_size=float('1e3')"),
        TEXT.replace("state_size=768", "state_size=768, state_size=768"),
        TEXT.replace("state_size=768", "**{'state_size': 768}"),
        TEXT.replace("(512, 512)", "((((1,),),),)"),
        TEXT.replace("(512, 512)", "-" * 4000 + "1"),
        TEXT.replace("ARCroco3DStereoConfig", "eval"),
        TEXT + "; import os",
        TEXT + ".x",
        "(" * 5000,
        "ARCroco3DStereo(" + "1," * 20000 + ")",
        "\0",
    ],
)
def test_anything_but_literals_is_refused(tmp_path, monkeypatch, hostile):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match="--variant"):
        parse_model_text(hostile)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("head_type='dpt'", "head_type='linear'"),
        ("output_mode='pts3d+pose+smpl'", "output_mode='naive'"),
        ("pos_embed='RoPE100'", "pos_embed='cosine'"),
        ("state_size=768", "state_size=768.0"),
        ("state_size=768", "state_size='768'"),
        ("state_size=768", "state_size=True"),
        ("enc_num_heads=16", "enc_num_heads=7"),
        ("backbone='dinov2_vitl14'", "backbone='resnet'"),
        ("img_size=(512, 512)", "img_size=()"),
        ("mhmr_img_res=896", "mhmr_img_res=897"),
        (", mhmr_img_res=896", ""),
    ],
)
def test_a_network_we_do_not_have_is_refused(old, new):
    assert old in TEXT
    with pytest.raises(WeightsError):
        config_from_keywords(parse_model_text(TEXT.replace(old, new)))


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_give_their_networks(golden_dir, name):
    content = manifest(golden_dir, name)
    assert config_from_keywords(content["config"]) == VARIANTS[name]
    shapes = shapes_of(golden_dir, name)
    size = VARIANTS[name].human_size_px
    assert config_from_shapes(shapes, size) == VARIANTS[name]


def test_shapes_alone_do_not_tell_the_large_networks_apart(golden_dir):
    assert config_from_shapes(shapes_of(golden_dir, "human3r_672B")) == VARIANTS["human3r_672B"]
    with pytest.raises(WeightsError, match=r"672L.*896L.*--variant.*--human-size"):
        config_from_shapes(shapes_of(golden_dir, "human3r_896L"))


def test_shapes_of_other_sizes_give_a_network_when_the_user_says_the_rest(golden_dir):
    shapes = shapes_of(golden_dir, "human3r_672S")
    shapes["pose_retriever.mem"] = (1, 99, 1536)
    expected = replace(VARIANTS["human3r_672S"], memory_slots=99, human_size_px=448)
    assert config_from_shapes(shapes, 448) == expected
    tiny = shapes_of(golden_dir, "tiny") | {"register_tokens.weight": (51, 192)}
    tiny |= {"patch_embed.proj.weight": (100, 3, 16, 16)}
    with pytest.raises(WeightsError, match="attention heads"):
        config_from_shapes(tiny, 224)


def test_tensors_of_something_else_are_refused(golden_dir):
    with pytest.raises(WeightsError, match="cls_token is missing"):
        config_from_shapes({"weight": (3, 4)})
    shapes = shapes_of(golden_dir, "tiny") | {"backbone.encoder.cls_token": (1, 1, 100)}
    with pytest.raises(WeightsError, match="width 100 and depth 12"):
        config_from_shapes(shapes)


def test_the_text_is_found_in_every_kind_of_arguments(monkeypatch):
    module = types.ModuleType("omegaconf_like")

    class AnyNode:
        def __init__(self, value):
            self._val = value
            self._metadata = {"key": "model"}

    class DictConfig:
        def __init__(self, content):
            self._content = content
            self._parent = None

    for kind in (AnyNode, DictConfig):
        kind.__module__, kind.__qualname__ = module.__name__, kind.__name__
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(__import__("sys").modules, module.__name__, module)
    tree = {"model": AnyNode(f" {TEXT}\n"), "epochs": AnyNode(3)}
    data = pickle.dumps(DictConfig(tree))
    plain = pickle.dumps(DictConfig({"model": TEXT}))
    monkeypatch.delitem(__import__("sys").modules, module.__name__)
    assert model_text(load_inert(io.BytesIO(data), len(data))) == TEXT
    assert model_text(load_inert(io.BytesIO(plain), len(plain))) == TEXT
    assert model_text(inert(argparse.Namespace(model=TEXT))) == TEXT
    assert model_text({"model": TEXT}) == TEXT


@pytest.mark.parametrize("args", [None, 3, "text", {}, {"model": 3}, {"_content": 5}])
def test_arguments_without_a_text_give_none(args):
    assert model_text(args) == ""
    assert model_text(inert(argparse.Namespace(model=args))) in ("", args)


def test_file_names_may_say_the_size():
    assert human_size_from_name("human3r_896L") == 896
    assert human_size_from_name("human3r_672S_v2") == 672
    assert human_size_from_name("human3r") == 0
    assert human_size_from_name("672_and_896") == 0
    assert human_size_from_name("16720") == 0
