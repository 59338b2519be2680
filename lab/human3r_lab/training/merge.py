"""The network that prompt tuning begins with: CUT3R and Multi-HMR put together."""

import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from human3r.errors import WeightsError
from human3r.model.network import Human3R
from human3r.model.torch_file import TorchFile
from human3r.model.variants import NetworkConfig
from human3r.model.weights_schema import alias
from human3r.pickles import entries
from human3r_lab.training.initial import new_network

_logger = logging.getLogger("human3r_lab.training")

NEW_PARTS = (
    *("mlp_fuse", "mlp_msk", "decpose", "decshape", "deccam", "decexpression"),
    *("masked_smpl_token", "mhmr_masked_smpl_token", "mhmr_masked_img_token"),
    *("init_body_pose", "init_betas", "init_expression", "init_betas_kid", "init_cam"),
)
"""What neither of the two has, by the last part of the name; it begins at random."""

_MULTI_HMR_HEADS = ("mlp_classif.", "mlp_offset.")
_SMPL_NUMBERS = 24 * 6
_PREFIX = "module."


def merged_network(
    config: NetworkConfig,
    cut3r: str | Path,
    multi_hmr: str | Path,
    mean_parameters: str | Path | None = None,
    seed: int = 0,
) -> Human3R:
    """A network with the scene from CUT3R, the detection from Multi-HMR, and the rest new.

    Nothing in the checkpoints is run.

    Args:
        config: sizes; they decide which of the published checkpoints fit.
        cut3r: checkpoint of CUT3R with DPT heads.
        multi_hmr: checkpoint of Multi-HMR with the same DINOv2.
        mean_parameters: npz with ``pose`` (144 numbers) and ``shape`` (10), the usual mean body.
        seed: of the new parts.

    Raises:
        WeightsError: unreadable, or tensors that do not fit.
    """
    network = new_network(config, seed)
    with torch.no_grad():
        _identity_pose(network)
        if mean_parameters is not None:
            _set_mean_parameters(network, Path(mean_parameters))
    wanted = network.state_dict()
    human = {key for key in wanted if key.startswith("backbone.") or _is_detection(key)}
    new = {key for key in wanted if any(part in NEW_PARTS for part in key.split("."))}
    scene = set(wanted) - human - new
    _take(wanted, scene, Path(cut3r), "model", _with_state_stream)
    _take(wanted, human, Path(multi_hmr), "model_state_dict", _as_human_branch)
    network.load_state_dict(wanted)
    return network


def _is_detection(key: str) -> bool:
    return key.removeprefix("downstream_head.").startswith(_MULTI_HMR_HEADS)


def _as_human_branch(key: str) -> list[str]:
    """Our names of a tensor of Multi-HMR."""
    if key.startswith(_MULTI_HMR_HEADS):
        return ["downstream_head." + key]
    return [key] if key.startswith("backbone") else []


def _with_state_stream(key: str) -> list[str]:
    """Our names of a tensor of CUT3R; sources without a state stream lend their image stream."""
    if key.startswith("dec_blocks."):
        return [key, key.replace("dec_blocks.", "dec_blocks_state.", 1)]
    return [key]


def _take(wanted: dict[str, Tensor], names: set[str], path: Path, entry: str, renamed) -> None:
    """Fill the named tensors from a checkpoint; a tensor's own name beats a borrowed one."""
    with TorchFile(path) as file:
        root = entries(file.root) or {}
        stored = root.get(entry, root.get("model"))
        shapes = file.shapes(stored) if stored is not None else {}
        sources: dict[str, str] = {}
        for key in shapes:
            ours = renamed(key.removeprefix(_PREFIX))
            for place, name in enumerate(ours):
                if place == 0 or name not in sources:
                    sources[name] = key
        for name in list(sources):
            if alias(name) and alias(name) not in sources:
                sources[alias(name)] = sources[name]
        _check(wanted, names, {name: shapes[key] for name, key in sources.items()}, path, entry)
        for name in sorted(names):
            array = np.ascontiguousarray(file.array(stored, sources[name]), dtype=np.float32)
            wanted[name] = torch.from_numpy(array).clone()
    ignored = len(set(shapes) - set(sources.values()))
    _logger.info("%s: %d tensors taken, %d not needed", path, len(names), ignored)


def _check(
    wanted: dict[str, Tensor],
    names: set[str],
    found: dict[str, tuple[int, ...]],
    path: Path,
    entry: str,
) -> None:
    missing = sorted(name for name in names if name not in found)
    other = sorted(
        f"{name} {found[name]} instead of {tuple(wanted[name].shape)}"
        for name in names
        if name in found and found[name] != tuple(wanted[name].shape)
    )
    if missing or other:
        parts = [
            f"{len(kind)} {what}, for example {kind[0]}"
            for kind, what in ((missing, "missing"), (other, "of another shape"))
            if kind
        ]
        raise WeightsError(
            f"{path}: tensors in {entry!r} do not fit: {'; '.join(parts)}. Expected the checkpoint "
            "of the same sizes as --variant. Check which file and which variant belong together."
        )


def _identity_pose(network: Human3R) -> None:
    """The published networks begin every joint at the identity, the root included."""
    heads = network.downstream_head
    identity = torch.tensor([1.0, 0, 0, 1, 0, 0])
    heads.init_body_pose.copy_(identity.repeat(heads.init_body_pose.shape[1] // 6)[None])  # pyright: ignore[reportIndexIssue]


def _set_mean_parameters(network: Human3R, path: Path) -> None:
    """The 24 joints of SMPL land on the first 24 rotations, its two hands on finger joints."""
    try:
        with np.load(path, allow_pickle=False) as file:
            pose = np.asarray(file["pose"], np.float32).reshape(_SMPL_NUMBERS)
            shape = np.asarray(file["shape"], np.float32).reshape(10)
    except (OSError, KeyError, ValueError) as error:
        raise WeightsError(
            f"{path}: is no file of mean parameters ({error}); expected npz with pose (144 "
            "numbers) and shape (10). Check the path, or leave --mean-parameters out."
        ) from error
    heads = network.downstream_head
    heads.init_body_pose[0, :_SMPL_NUMBERS] = torch.from_numpy(pose)  # pyright: ignore[reportIndexIssue]
    heads.init_betas[0] = torch.from_numpy(shape)  # pyright: ignore[reportIndexIssue]
