"""What network a published checkpoint holds: read from its arguments, or from its tensors.

The arguments carry a text that looks like a Python constructor call. It is parsed as a list of
literals and never evaluated.
"""

import ast
import math
import re
from collections.abc import Mapping
from typing import Any, TypeGuard

from human3r.errors import ConfigError, WeightsError
from human3r.model.variants import DINO_SIZES, VARIANTS, NetworkConfig
from human3r.pickles import attributes, entries

_MAX_TEXT = 20_000
_OUTER, _INNER = "ARCroco3DStereo", "ARCroco3DStereoConfig"
_HEAD_WIDTH = 64
_HINT = "Name the network with --variant to ignore the arguments stored in the file."

_FIXED: dict[str, object] = {
    "state_pe": "2d",
    "head_type": "dpt",
    "output_mode": "pts3d+pose+smpl",
    "rgb_head": True,
    "pose_head": True,
    "msk_head": True,
    "depth_mode": ("exp", -math.inf, math.inf),
    "conf_mode": ("exp", 1, math.inf),
    "pose_mode": ("exp", -math.inf, math.inf),
}
"""Arguments that would change the architecture; ours has these values."""

_FIELDS = {
    "enc_embed_dim": "encoder_width",
    "enc_depth": "encoder_depth",
    "enc_num_heads": "encoder_heads",
    "dec_embed_dim": "decoder_width",
    "dec_depth": "decoder_depth",
    "dec_num_heads": "decoder_heads",
    "state_size": "state_tokens",
    "local_mem_size": "memory_slots",
    "mhmr_img_res": "human_size_px",
}
"""Published argument -> field of ``NetworkConfig``."""


def model_text(args: object) -> str:
    """The text ``args.model`` of a checkpoint's arguments, inert; empty when there is none.

    Args:
        args: a namespace, a dict, or an OmegaConf ``DictConfig`` as ``human3r.pickles`` reads it.
    """
    content = entries(args) or attributes(args)
    content = entries(content.get("_content")) or content
    value = content.get("model")
    node = attributes(value)
    value = node.get("_val", value)
    return value.strip() if isinstance(value, str) else ""


def parse_model_text(text: str) -> dict[str, Any]:
    """The keyword arguments in a model text; nothing is evaluated.

    Raises:
        WeightsError: anything but the two nested constructor calls with literal arguments.
    """
    if len(text) > _MAX_TEXT:
        raise _refused(f"a model text of {len(text)} letters")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _refused(f"a model text that is no expression ({type(error).__name__})") from error
    if not _is_call(tree, _OUTER) or tree.keywords or len(tree.args) != 1:
        raise _refused(f"a model text that starts {text[:60]!r}")
    inner = tree.args[0]
    if not _is_call(inner, _INNER) or inner.args:
        raise _refused(f"{_shown(inner)} in the model text")
    keywords: dict[str, Any] = {}
    for keyword in inner.keywords:
        if keyword.arg is None or keyword.arg in keywords:
            raise _refused(f"{_shown(keyword)} in the model text")
        keywords[keyword.arg] = _literal(keyword.value)
    return keywords


def config_from_keywords(keywords: Mapping[str, Any]) -> NetworkConfig:
    """The network that constructor arguments describe; those that do not matter are ignored.

    Args:
        keywords: published names; infinities may also be the texts ``inf`` and ``-inf``.

    Raises:
        WeightsError: an architecture we do not have, or a value of the wrong kind.
    """
    for name, expected in _FIXED.items():
        seen = _plain(keywords.get(name, expected))
        if seen != expected:
            raise _refused(f"{name}={seen!r}", f"{expected!r}")
    values: dict[str, Any] = {
        field: _integer(name, keywords[name]) for name, field in _FIELDS.items() if name in keywords
    }
    if "backbone" in keywords:
        values["dino"] = keywords["backbone"]
    if "img_size" in keywords:
        values["input_size_px"] = _long_side(keywords["img_size"])
    rope = re.fullmatch(r"RoPE(\d{1,6})", str(keywords.get("pos_embed", "RoPE100")))
    if rope is None:
        raise _refused(f"pos_embed={keywords['pos_embed']!r}", "RoPE with a base, as RoPE100")
    values["rope_base"] = float(rope[1])
    if "human_size_px" not in values:
        raise _refused("no mhmr_img_res", "the size of the human branch's image")
    try:
        return NetworkConfig(**values)
    except (ConfigError, TypeError) as error:
        raise _refused(f"an impossible network ({error})") from error


def config_from_shapes(
    shapes: Mapping[str, tuple[int, ...]], human_size_px: int = 0
) -> NetworkConfig:
    """The network that has tensors of these names and shapes, as published sizes allow.

    Args:
        shapes: of every tensor in the file.
        human_size_px: side of the human branch's image, which no shape tells; 0: unknown.

    Raises:
        WeightsError: tensors are missing, or the sizes leave more than one answer.
    """
    sizes = _sizes(shapes)
    fitting = {
        name: config
        for name, config in VARIANTS.items()
        if all(getattr(config, field) == value for field, value in sizes.items())
        and human_size_px in (0, config.human_size_px)
    }
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    if fitting or not human_size_px:
        names = ", ".join(fitting) if fitting else "none of the known networks"
        raise WeightsError(
            f"the tensors fit {names}; the side of the human branch's image is in no tensor. "
            "Convert it (again) with `human3r weights convert` and --variant or --human-size, or "
            "name the file after the side, 672 or 896."
        )
    encoder, decoder = sizes["encoder_width"], sizes["decoder_width"]
    if encoder % _HEAD_WIDTH or decoder % _HEAD_WIDTH:
        raise WeightsError(
            f"encoder width {encoder} and decoder width {decoder} are no published sizes "
            f"(multiples of {_HEAD_WIDTH}), so the number of attention heads is unknown. {_HINT}"
        )
    return NetworkConfig(
        human_size_px=human_size_px,
        encoder_heads=encoder // _HEAD_WIDTH,
        decoder_heads=decoder // _HEAD_WIDTH,
        **sizes,
    )


def known_variant(variant: str) -> NetworkConfig:
    """The network of that name in ``VARIANTS``.

    Raises:
        WeightsError: no such name.
    """
    if variant not in VARIANTS:
        raise WeightsError(
            f"{variant!r} is no variant; expected one of {', '.join(VARIANTS)}. Choose one."
        )
    return VARIANTS[variant]


def human_size_from_name(name: str) -> int:
    """672 or 896 when a file name says one of them, else 0."""
    found = set(re.findall(r"(?<!\d)(672|896)(?!\d)", name))
    return int(found.pop()) if len(found) == 1 else 0


def _sizes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Fields of ``NetworkConfig`` that shapes determine."""

    def size(key: str, axis: int) -> int:
        shape = shapes.get(key)
        if shape is None or len(shape) <= axis:
            raise WeightsError(
                f"tensor {key} is missing or has shape {shape}; expected the tensors of a "
                "Human3R network. Check that this is a Human3R checkpoint."
            )
        return shape[axis]

    def depth(prefix: str) -> int:
        pattern = re.compile(re.escape(prefix) + r"\.(\d{1,4})\.")
        return len({m[1] for m in map(pattern.match, shapes) if m})

    dino = (size("backbone.encoder.cls_token", 2), depth("backbone.encoder.blocks"))
    names = [name for name, sizes in DINO_SIZES.items() if sizes[:2] == dino]
    if not names:
        raise WeightsError(
            f"the human branch has width {dino[0]} and depth {dino[1]}; expected one of "
            f"{', '.join(DINO_SIZES)}. Check that this is a Human3R checkpoint."
        )
    return {
        "dino": names[0],
        "encoder_width": size("patch_embed.proj.weight", 0),
        "encoder_depth": depth("enc_blocks"),
        "decoder_width": size("decoder_embed.weight", 0),
        "decoder_depth": depth("dec_blocks"),
        "state_tokens": size("register_tokens.weight", 0),
        "memory_slots": size("pose_retriever.mem", 1),
        "ray_map_depth": depth("enc_blocks_ray_map"),
    }


def _refused(seen: str, expected: str = "") -> WeightsError:
    wanted = expected or f"{_OUTER}({_INNER}(...)) with numbers, texts, booleans and tuples"
    return WeightsError(f"the checkpoint's arguments hold {seen}; expected {wanted}. {_HINT}")


def _is_call(node: ast.AST, name: str) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _shown(node: ast.AST) -> str:
    try:
        return repr(ast.unparse(node)[:60])
    except RecursionError:
        return "a deeply nested expression"


def _literal(node: ast.expr, nested: int = 0) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str | None):
        return node.value
    if isinstance(node, ast.Name) and node.id == "inf":
        return math.inf
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _literal(node.operand, nested + 1) if nested < 3 else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return -value
    if isinstance(node, ast.Tuple | ast.List) and nested < 3:
        return tuple(_literal(item, nested + 1) for item in node.elts)
    if _is_call(node, "float") and len(node.args) == 1 and not node.keywords:
        text = getattr(node.args[0], "value", None)
        if text in ("inf", "-inf"):
            return float(text)
    raise _refused(f"{_shown(node)} in the model text")


def _plain(value: Any) -> Any:
    """Lists as tuples, and the texts inf and -inf as numbers: how JSON manifests say them."""
    if isinstance(value, list | tuple):
        return tuple(_plain(item) for item in value)
    return float(value) if value in ("inf", "-inf") else value


def _integer(name: str, value: Any) -> int:
    if type(value) is not int:
        raise _refused(f"{name}={value!r}", "a whole number")
    return value


def _long_side(value: Any) -> int:
    sides = value if isinstance(value, list | tuple) else [value]
    if not 1 <= len(sides) <= 2:
        raise _refused(f"img_size={value!r}", "one or two whole numbers")
    return max(_integer("img_size", side) for side in sides)
