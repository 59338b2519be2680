"""The bridge's settings, each declared once: default, unit, bounds and help.

``python -m human3r_bridge.parameters`` prints the parameter file ``config/human3r_bridge.yaml``.
"""

import sys
from dataclasses import dataclass, field
from typing import ClassVar

from human3r_ros.parameters import render_file

from human3r.config import FRAME_NAME, FramesSettings
from human3r.setting import Declared, as_text, describe_effect, describe_range, setting

OUTPUTS = ("markers", "mesh_markers", "people", "vision", "vision2d", "poses", "hri")
"""Every format there is, as named in the setting ``outputs``."""
_WITH_HRI = ("outputs", ("hri",))


@dataclass(frozen=True)
class Frames:
    level: str = setting(
        FramesSettings().level,
        "The node's own frames.level: what HumanArray.camera_pose is in.",
        form=FRAME_NAME,
    )


@dataclass(frozen=True)
class People:
    frame: str = setting(
        "",
        "Frame of the people output; empty: frames.level. Another one is looked up in TF.",
        form=FRAME_NAME,
        when=("outputs", ("people",)),
    )


@dataclass(frozen=True)
class Markers:
    mesh_rate_hz: float = setting(
        2.0,
        "Mesh markers per second at most.",
        unit="Hz",
        low=0.1,
        high=30.0,
        when=("outputs", ("mesh_markers",)),
    )


@dataclass(frozen=True)
class Hri:
    faces: bool = setting(
        True,
        "Also publish faces and match each to its body; false leaves faces to others.",
        when=_WITH_HRI,
    )
    linger_s: float = setting(
        2.0,
        "The topics of a person who has left are removed after this time.",
        unit="s",
        low=0.0,
        high=60.0,
        when=_WITH_HRI,
    )
    cropped: bool = setting(
        False,
        "Also publish each body's part of the image. This sends images of people.",
        when=_WITH_HRI,
    )


@dataclass(frozen=True)
class Input:
    transport: str = setting(
        "raw",
        "Kind of image topic that hri.cropped reads: image, or image/compressed.",
        choices=("raw", "compressed"),
        when=("hri.cropped", (True,)),
    )


@dataclass(frozen=True)
class BridgeSettings(Declared):
    """All settings of the bridge, by section."""

    OWNER: ClassVar[str] = "human3r_bridge"
    EXAMPLE: ClassVar[str] = "outputs=markers,people"

    outputs: tuple[str, ...] = setting(("markers",), "Formats to publish.", choices=OUTPUTS)
    frames: Frames = field(default_factory=Frames)
    people: People = field(default_factory=People)
    markers: Markers = field(default_factory=Markers)
    hri: Hri = field(default_factory=Hri)
    input: Input = field(default_factory=Input)

    @property
    def people_frame(self) -> str:
        """Frame of the people output."""
        return self.people.frame or self.frames.level


def describe() -> str:
    """A line for each setting: name, default, help."""
    return "\n".join(
        f"  {name} ({as_text(spec.default)}): "
        + " ".join(filter(None, [spec.help, describe_range(spec), *_effect(name)]))
        for name, spec in BridgeSettings.specs().items()
    )


def _effect(name: str) -> list[str]:
    phrases = describe_effect(BridgeSettings.spec(name))
    return [f"{phrase[0].upper()}{phrase[1:]}." for phrase in phrases]


if __name__ == "__main__":
    sys.stdout.write(render_file(BridgeSettings(), "human3r_bridge.parameters"))
