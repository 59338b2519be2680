"""The settings of ``human3r_multi``, each declared once: default, unit, bounds and help."""

import dataclasses
import re
import sys
from dataclasses import dataclass, field
from typing import ClassVar

from human3r.config import (
    FRAME_NAME,
    CameraSettings,
    DiagnosticsSettings,
    FaultSettings,
    FramesSettings,
    InputSettings,
    LevelSettings,
    MapSettings,
    ModelSettings,
    OdometrySettings,
    PeopleSettings,
    PublishSettings,
    ScaleSettings,
    SceneSettings,
    SessionSettings,
    Settings,
    WebSettings,
)
from human3r.errors import ConfigError
from human3r.multiview.settings import POSITIONS, FusionSettings
from human3r.setting import Declared, as_text, describe_range, setting
from human3r_ros.parameters import render_file

_FUSION = FusionSettings()


_CAMERA_NAME = re.compile("[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Frames:
    world: str = setting("world", "Frame of everything that is published.", form=FRAME_NAME)


@dataclass(frozen=True)
class Sync:
    max_gap_s: float = setting(
        0.1, "Most time between the images of one moment.", unit="s", low=0.001, high=1.0
    )
    patience_s: float = setting(
        0.15, "So long a moment waits for the views it lacks.", unit="s", low=0.0, high=2.0
    )
    silent_s: float = setting(
        1.0, "A view that is silent for longer is not waited for.", unit="s", low=0.05, high=60.0
    )


@dataclass(frozen=True)
class Fusion:
    position: str = setting(
        _FUSION.position,
        "How places are fused. weighted: by what each view knows along and across its ray; "
        "triangulation: nearest point to the heads' rays; mean: of the points.",
        choices=POSITIONS,
    )
    max_cost_m: float = setting(
        _FUSION.max_cost_m,
        "Two people whose joints differ by more, 0.8 of it by place and 0.2 by pose, are two.",
        unit="m",
        low=0.05,
        high=10.0,
    )
    max_deviation: float = setting(
        _FUSION.max_deviation,
        "Nor are they one where places differ by more standard deviations.",
        low=1.0,
        high=100.0,
    )
    camera_rotation_rad: float = setting(
        _FUSION.camera_rotation_rad,
        "Standard deviation of the calibrated rotations.",
        unit="rad",
        low=0.0,
        high=0.5,
    )
    camera_position_m: float = setting(
        _FUSION.camera_position_m,
        "Standard deviation of the calibrated places.",
        unit="m",
        low=0.0,
        high=5.0,
    )
    remember_s: float = setting(
        _FUSION.remember_s,
        "How long a number waits for its person when no view sees them.",
        unit="s",
        low=0.0,
        high=3600.0,
    )
    floor_m: float = setting(
        _FUSION.floor_m,
        "Standard deviation of feet about the floor on which people stand whom several views see; "
        "it says how far away whoever one view sees is. 0: not used.",
        unit="m",
        low=0.0,
        high=1.0,
    )
    max_residual_px: float = setting(
        _FUSION.max_residual_px,
        "Residual from which a camera is reported as wrongly calibrated; 0: three times what the "
        "standard deviations explain.",
        unit="px",
        low=0.0,
        high=10000.0,
    )


@dataclass(frozen=True)
class MultiSettings(Declared):
    """All settings of the fusing node, by section."""

    OWNER: ClassVar[str] = "human3r_multi"
    EXAMPLE: ClassVar[str] = "views=left,right"

    views: str = setting(
        "",
        "Names of the views, separated by commas; people of `left` are read from "
        "/left/human3r/humans. A name that begins with / is a topic itself.",
    )
    cameras: str = setting(
        "",
        "Names of cameras of this node's own, separated by commas, instead of views; images of "
        "`left` are read from left/image_raw, those of `left=/cam0/image` from there, and "
        "camera_info beside them. What follows from `model` on is for them.",
    )
    calibration: str = setting(
        "", "Calibration file with the views' poses; empty: they are looked up in TF."
    )
    id_prefix: str = setting("m", "Begins the ids of people.")
    frames: Frames = field(default_factory=Frames)
    sync: Sync = field(default_factory=Sync)
    fusion: Fusion = field(default_factory=Fusion)
    model: ModelSettings = field(default_factory=ModelSettings)
    input: InputSettings = field(default_factory=InputSettings)
    session: SessionSettings = field(default_factory=SessionSettings)
    people: PeopleSettings = field(default_factory=PeopleSettings)
    scene: SceneSettings = field(default_factory=SceneSettings)
    scale: ScaleSettings = field(default_factory=ScaleSettings)
    camera: CameraSettings = field(default_factory=CameraSettings)
    odometry: OdometrySettings = field(default_factory=OdometrySettings)
    publish: PublishSettings = field(default_factory=PublishSettings)
    diagnostics: DiagnosticsSettings = field(default_factory=DiagnosticsSettings)
    fault: FaultSettings = field(default_factory=FaultSettings)
    web: WebSettings = field(default_factory=WebSettings)

    def names(self) -> list[str]:
        """The views, as they are given."""
        return [name.strip() for name in self.views.split(",") if name.strip()]

    def _check_together(self) -> None:
        if self.cameras:
            camera_topics(self.cameras)
            self.pipeline_settings()

    def pipeline_settings(self) -> Settings:
        """Of every camera's stream: where up is says the camera's pose in ``frames.world``.

        Raises:
            ConfigError: values that contradict each other, or that need more than images.
        """
        if self.input.policy != "newest" or self.scale.mode == "depth":
            raise ConfigError(
                f"input.policy is {self.input.policy}, scale.mode is {self.scale.mode}; expected "
                "newest, for images are taken as sets, and another mode than depth, which is for "
                "one camera. Leave them out."
            )
        shared = {
            item.name: getattr(self, item.name)
            for item in dataclasses.fields(Settings)
            if item.name in {own.name for own in dataclasses.fields(self)} - {"frames"}
        }
        return Settings(
            **shared,
            frames=FramesSettings(anchor=self.frames.world),
            level=LevelSettings(source="tf"),
            map=MapSettings(enabled=False),
        )

    def fusion_settings(self) -> FusionSettings:
        """For the core."""
        return FusionSettings(**dataclasses.asdict(self.fusion))


def camera_topics(cameras: str) -> dict[str, str]:
    """Image topic by name of the camera, before remapping.

    Args:
        cameras: as the setting has it.

    Raises:
        ConfigError: names that cannot be, or one twice.
    """
    topics: dict[str, str] = {}
    for text in filter(None, (part.strip() for part in cameras.split(","))):
        name, _, topic = text.partition("=")
        if not _CAMERA_NAME.fullmatch(name) or name in topics:
            raise ConfigError(
                f"cameras is {cameras!r}; expected different names of letters, digits and _, each "
                "alone or as NAME=TOPIC, separated by commas. For example "
                "left,right=/cam1/image_raw."
            )
        topics[name] = topic or f"{name}/image_raw"
    return topics


def describe() -> str:
    """A line for each setting: name, default, help."""
    return "\n".join(
        f"  {name} ({as_text(spec.default)}): "
        + " ".join(filter(None, [spec.help, describe_range(spec)]))
        for name, spec in MultiSettings.specs().items()
    )


if __name__ == "__main__":
    sys.stdout.write(render_file(MultiSettings(), "human3r_ros.multi.settings"))
