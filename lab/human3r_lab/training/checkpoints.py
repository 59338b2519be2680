"""Everything a training needs to go on bit for bit, in one file that is whole or not there."""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from human3r.atomic import is_running, whole_path
from human3r.errors import InputError

FORMAT = "human3r-training-1"
_NAME = re.compile(r"step-(\d{8})\.safetensors")
_KEPT = 2
_logger = logging.getLogger("human3r_lab.training")


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training between two steps."""

    tensors: dict[str, Tensor]
    """By names like ``weights/...``, ``average/...``, ``exp_avg/...``, ``exp_avg_sq/...``."""
    identity: dict[str, Any]
    """What must be the same for the training to go on: recipe, network, seed, batch and so on."""
    progress: dict[str, Any]
    """Counters, among them ``step``: how many steps are done."""

    def section(self, name: str) -> dict[str, Tensor]:
        """The tensors under ``name/``, without that prefix."""
        prefix = name + "/"
        return {
            key.removeprefix(prefix): value
            for key, value in self.tensors.items()
            if key.startswith(prefix)
        }


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint after that many steps lies."""
    return folder / f"step-{step:08d}.safetensors"


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint and remove all but the newest two.

    Raises:
        OutputError: not writable; the older ones stay.
    """
    path = checkpoint_path(folder, checkpoint.progress["step"])
    header = {
        "format": FORMAT,
        "identity": json.dumps(checkpoint.identity, sort_keys=True),
        "progress": json.dumps(checkpoint.progress, sort_keys=True),
    }
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()
    }
    with whole_path(path) as part:
        save_file(tensors, part, metadata=header)
    for old in list_checkpoints(folder)[:-_KEPT]:
        old.unlink(missing_ok=True)
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints of a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*.safetensors") if _NAME.fullmatch(path.name))


def remove_leftovers(folder: Path) -> None:
    """Delete what a killed process did not finish writing."""
    for path in folder.glob(".step-*.part"):
        process = path.name.rsplit(".", 2)[-2]
        if not process.isdigit() or not is_running(int(process)):
            path.unlink(missing_ok=True)


def load_newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that can be read; None when there is none at all.

    Raises:
        InputError: there are some, and none can be read.
    """
    errors = []
    for path in reversed(list_checkpoints(folder)):
        try:
            return load_checkpoint(path)
        except InputError as error:
            _logger.warning("%s Trying the one before it.", error)
            errors.append(error)
    if errors:
        raise errors[0]
    return None


def load_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint, wholly in memory.

    Raises:
        InputError: unreadable, damaged, or no checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise ValueError(f"format is {header.get('format')!r} instead of {FORMAT!r}")
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        identity, progress = json.loads(header["identity"]), json.loads(header["progress"])
        if not isinstance(identity, dict) or not isinstance(progress, dict):
            raise ValueError("its description is no mapping")
        if type(progress.get("step")) is not int or progress["step"] < 0:
            raise ValueError(f"step is {progress.get('step')!r}")
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: is no readable checkpoint ({error}); expected one written by "
            "`human3r train`. Delete it to go on from the one before, or start anew."
        ) from error
    return Checkpoint(tensors, identity, progress)


def check_identity(found: Mapping[str, Any], expected: Mapping[str, Any], folder: Path) -> None:
    """Nothing, when a checkpoint belongs to this training.

    What a checkpoint of an older version does not say yet is not compared.

    Raises:
        InputError: naming what differs.
    """
    different = [
        f"{name} {found.get(name)!r} instead of {expected.get(name)!r}"
        for name in sorted(found)
        if found.get(name) != expected.get(name)
    ]
    if different:
        raise InputError(
            f"{folder}: its checkpoint is of another training ({'; '.join(different)}); expected "
            "the same one. Use the same options, or another --out, or begin from its exported "
            "weights with --init."
        )
