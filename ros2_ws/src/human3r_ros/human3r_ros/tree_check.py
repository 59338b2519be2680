"""Checks that keep TF a tree: names, the base above the camera, foreign parents and loops."""

from dataclasses import dataclass, field

import numpy as np

from human3r.config import Settings
from human3r.errors import ConfigError
from human3r_ros.transforms import FrameTree

_LIMIT = 128
_REMEDY = {
    "odometry": "Use tf.mode anchored or none, or set frames.base to a frame without a parent.",
    "inverse": "Give frames.level a name of its own, or use tf.mode none.",
    "anchored": "Give frames.level a name of its own, or use tf.mode none.",
}


def check_frame_names(settings: Settings) -> None:
    """Nothing, when the configured frame names can be used.

    Raises:
        ConfigError: an empty name, a leading slash, too long, or a frame that would be its own
            parent.
    """
    frames = settings.frames
    needed = {"frames.level": frames.level}
    if needs_anchor(settings):
        needed["frames.anchor"] = frames.anchor
    for name, value in needed.items():
        if not value:
            example = "human3r_odom" if name == "frames.level" else "odom"
            raise ConfigError(f"{name} is empty; expected a frame name. Use for example {example}.")
    names = {**needed, "frames.base": frames.base}
    for name, value in names.items():
        _check_name(name, value)
    for name, value in names.items():
        other = next((key for key in names if key != name and names[key] == value), None)
        if value and other is not None:
            raise ConfigError(
                f"{name} and {other} are both {value!r}; expected two frames. Change one."
            )


def _check_name(name: str, value: str) -> None:
    if value.startswith("/"):
        raise ConfigError(
            f"{name} is {value!r}; expected a name without leading slash. Use {value[1:]!r}."
        )
    if len(value) > _LIMIT or any(c.isspace() or not c.isprintable() for c in value):
        raise ConfigError(
            f"{name} is {value[:40]!r}; expected at most {_LIMIT} printable characters without "
            "blanks. Choose another name."
        )


def needs_anchor(settings: Settings) -> bool:
    """Whether the robot's TF is asked where the camera is in ``frames.anchor``."""
    return settings.tf.mode == "anchored" or settings.level.source == "tf"


def needs_tf(settings: Settings) -> bool:
    """Whether the node has to listen to TF at all."""
    is_used = settings.tf.mode != "none" or bool(settings.frames.base)
    is_measured = settings.scale.mode in ("odometry", "camera_height")
    return is_used or is_measured or needs_anchor(settings)


def find_base(tree: FrameTree, optical: str, wanted: str, anchor: str = "") -> str:
    """The frame that moves rigidly with the camera.

    Args:
        tree: what was heard on TF.
        optical: frame of the image.
        wanted: ``frames.base``; empty climbs static edges as far as they go.
        anchor: the robot's fixed frame, at which climbing ends; empty where there is none.

    Raises:
        ConfigError: ``wanted`` is not reached from the optical frame along static edges.
    """
    chain = tree.static_ancestors(optical)
    if not wanted:
        return chain[max(chain.index(anchor) - 1, 0)] if anchor in chain else chain[-1]
    if wanted not in chain:
        raise ConfigError(
            f"frames.base is {wanted!r}, but the static transforms above {optical!r} lead to "
            f"{' -> '.join(chain)} only; expected an ancestor. Publish the camera's static "
            "transforms, or change frames.base."
        )
    return wanted


@dataclass(frozen=True)
class Base:
    """The frame that moves with the camera, as far as it is known."""

    name: str = ""
    """Empty when it is not known."""
    camera_from_base: np.ndarray = field(default_factory=lambda: np.eye(4))
    """(4, 4)"""
    missing: str = ""
    """Why it is not known."""


def look_up_base(tree: FrameTree, optical: str, settings: Settings) -> Base:
    """The base of the camera now, or why there is none."""
    frames = settings.frames
    if not optical:
        return Base(
            missing="header.frame_id of the image is empty; expected the optical frame's name. TF "
            "and odometry are withheld: set the frame name in the camera driver."
        )
    # The level frame stands still; one that moves with the camera would be its own parent.
    if frames.level in tree.static_ancestors(optical):
        return Base(
            missing=f"frames.level is {frames.level!r}, which moves with the image's frame "
            f"{optical!r}; expected a name of its own. TF and odometry are withheld: change "
            "frames.level, or the frame name in the camera driver."
        )
    anchor = frames.anchor if needs_anchor(settings) else ""
    try:
        name = find_base(tree, optical, frames.base, anchor)
    except ConfigError as error:
        return Base(missing=f"{error} Until then TF and odometry are withheld.")
    return Base(name, tree.camera_from_base(optical, name))


def conflict(tree: FrameTree, parent: str, child: str, mode: str) -> str:
    """Why broadcasting parent -> child would break the robot's tree; empty when it would not.

    Args:
        tree: what others broadcast; our own edges are not in it.
        parent: of our edge.
        child: of our edge.
        mode: ``tf.mode``, for the advice.
    """
    other = tree.parent(child)
    if other is not None:
        return (
            f"{child} already has parent {other}; expected a frame that nobody else moves. "
            f"{_REMEDY[mode]}"
        )
    chain = tree.ancestors(parent)
    if child in chain:
        loop = [parent, *chain[1 : chain.index(child) + 1], parent]
        return (
            f"broadcasting {parent} -> {child} would close the loop {' -> '.join(loop)}; expected "
            f"a tree. {_REMEDY[mode]}"
        )
    return ""
