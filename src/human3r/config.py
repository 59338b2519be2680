"""Every setting, once: default, unit, bounds, help, and whether it may change while running.

Command line flags, YAML files, ROS parameter descriptors, ``config/human3r.yaml`` and
``docs/settings.md`` are derived from the dataclasses below; nothing else holds a default.
"""

# ruff: noqa: E501 - the help texts below are whole sentences; wrapping them hides the table.

import dataclasses
import difflib
import math
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from human3r.errors import ConfigError

Value = bool | int | float | str

_MAX_YAML_BYTES = 1_000_000


def setting(
    default: Value,
    help: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
    ros_only: bool = False,
) -> Any:
    """One setting of a section.

    Args:
        default: also fixes the type.
        help: one sentence.
        unit: SI symbol or word, empty for pure numbers.
        low: smallest value allowed.
        high: largest value allowed.
        choices: the only strings allowed, if not empty.
        live: may change while the node runs; otherwise only while it is unconfigured.
        ros_only: matters to the ROS node alone.
    """
    return field(
        default=default,
        metadata={
            "help": help,
            "unit": unit,
            "low": low,
            "high": high,
            "choices": choices,
            "live": live,
            "ros_only": ros_only,
        },
    )


@dataclass(frozen=True)
class ModelSettings:
    weights: str = setting(
        "", "Weights file, safetensors; empty: the small network that comes along."
    )
    sha256: str = setting(
        "",
        "Expected SHA-256 of the weights file, 64 hex digits; empty: known files only are compared.",
    )
    body_model: str = setting(
        "", "Body model file in the SMPL-X layout, npz; empty: the free body."
    )
    device: str = setting("auto", "Where the network runs: auto, cpu, cuda or cuda:N.")
    input_size: int = setting(
        0,
        "Long side of the network image; 0: the size the weights were made for.",
        unit="px",
        low=0,
        high=1024,
    )
    ttt3r: bool = setting(True, "Gate the state update per token (TTT3R), for long streams.")
    rope_dtype: str = setting(
        "float32",
        "Precision in which the image encoder rotates queries and keys; float16 repeats the reference's rounding.",
        choices=("float32", "float16"),
    )
    precision: str = setting(
        "fp32",
        "Type in which the large layers multiply; auto: bf16 where the device computes in it, else fp32.",
        choices=("fp32", "bf16", "fp16", "auto"),
    )
    execution: str = setting(
        "eager",
        "eager: shapes follow the number of people; static: always people.max_count, so that the host never waits; compile: static through torch.compile; cuda_graph: static, recorded once and replayed. On a GPU all but eager also resize images there, which may round a grey level otherwise.",
        choices=("eager", "static", "compile", "cuda_graph"),
    )
    threads: int = setting(
        0,
        "Processor threads for the network, for the whole process; 0: as many as PyTorch chooses.",
        low=0,
        high=256,
    )
    deterministic: bool = setting(
        False,
        "Bitwise repeatable results on one machine, where PyTorch can; holds for the whole process.",
    )
    warmup_frames: int = setting(
        1, "Frames run through the network before the first real one.", low=0, high=20
    )


@dataclass(frozen=True)
class InputSettings:
    transport: str = setting(
        "raw",
        "Kind of image topic: raw reads sensor_msgs/Image, compressed reads sensor_msgs/CompressedImage on <image>/compressed.",
        choices=("raw", "compressed"),
        ros_only=True,
    )
    policy: str = setting(
        "newest",
        "newest: an unprocessed frame is replaced by a newer one; every: frames queue.",
        choices=("newest", "every"),
        ros_only=True,
    )
    queue: int = setting(
        1, "Frames waiting at most; must be 1 with policy newest.", low=1, high=1000, ros_only=True
    )
    max_rate_hz: float = setting(
        0.0,
        "Process at most this many frames per second; 0: no limit.",
        unit="Hz",
        low=0,
        high=120,
        live=True,
        ros_only=True,
    )
    max_age_s: float = setting(
        1.0,
        "Drop a frame older than this when it is taken; 0: never; ignored under simulated time.",
        unit="s",
        low=0,
        high=60,
        live=True,
        ros_only=True,
    )
    max_pixels: int = setting(
        8_294_400, "Reject larger images before decoding.", unit="px", low=4096, high=67_108_864
    )
    stamp: str = setting(
        "header",
        "header: the image's own stamp; receive: time of arrival, for cameras that send zero stamps.",
        choices=("header", "receive"),
        ros_only=True,
    )
    camera_info: str = setting(
        "optional",
        "required: reject images without a usable calibration; optional: use it where present; ignore.",
        choices=("required", "optional", "ignore"),
        ros_only=True,
    )
    camera_info_timeout_s: float = setting(
        2.0,
        "Warn when no calibration arrived after this time.",
        unit="s",
        low=0,
        high=60,
        live=True,
        ros_only=True,
    )
    camera_matrix: str = setting(
        "auto",
        "Matrix of camera_info that describes the images. K, with its distortion: images as the lens shows them; P: rectified images; auto: P where the last part of the topic's name begins with image_rect, else K.",
        choices=("auto", "K", "P"),
        ros_only=True,
    )
    undistort: bool = setting(
        False,
        "Take the lens distortion that camera_info describes out of each image before the network.",
        ros_only=True,
    )


@dataclass(frozen=True)
class SessionSettings:
    reset_on_activate: bool = setting(
        True, "Forget the recurrent state at every activation.", live=True, ros_only=True
    )
    reset_interval: int = setting(
        0,
        "Reset the recurrent state every so many frames and chain poses over one overlap frame; 0: never.",
        unit="frames",
        low=0,
        high=1_000_000,
        live=True,
    )
    reorder_window_s: float = setting(
        0.5,
        "A frame older than its predecessor by less than this is dropped as late; by more, time has jumped and a new session begins.",
        unit="s",
        low=0,
        high=10,
        live=True,
        ros_only=True,
    )
    gap_reset_s: float = setting(
        0.0,
        "Start a new session after a pause this long; 0: never.",
        unit="s",
        low=0,
        high=3600,
        live=True,
        ros_only=True,
    )


@dataclass(frozen=True)
class PeopleSettings:
    min_score: float = setting(
        0.3, "Head score from which a person counts as seen.", low=0, high=1, live=True
    )
    max_count: int = setting(
        20, "People per frame at most; the highest scores are kept.", low=1, high=100, live=True
    )
    place: str = setting(
        "auto",
        "Where a head is. network: where the network puts it; pixel: as deep, but in the direction of the pixel where it was detected; auto: pixel for human3r_mini, network for all others, as published.",
        choices=("auto", "network", "pixel"),
    )
    confirm_frames: int = setting(
        2,
        "Sightings in a row after which a new person counts as confirmed.",
        unit="frames",
        low=1,
        high=30,
        live=True,
        ros_only=True,
    )
    coast_s: float = setting(
        2.5,
        "A confirmed person who is out of sight is predicted for this time, then lost for good.",
        unit="s",
        low=0,
        high=5,
        live=True,
        ros_only=True,
    )
    velocity_window_s: float = setting(
        0.4,
        "A person's velocity is the slope of their places over this time; half of it must be known.",
        unit="s",
        low=0.1,
        high=2,
        live=True,
        ros_only=True,
    )
    visibility: bool = setting(
        True,
        "Test joints against bodies and depth; off: visibility and scene agreement stay open.",
        live=True,
        ros_only=True,
    )
    constant_shape: bool = setting(
        False,
        "Give each person the average of their first 30 shapes, so that bones keep their lengths.",
        live=True,
        ros_only=True,
    )
    forget_s: float = setting(
        5.0,
        "An unseen person's identity is forgotten after this time; 0: never, memory then grows.",
        unit="s",
        low=0,
        high=600,
        live=True,
    )
    id_prefix: str = setting(
        "h3r",
        "Start of every published id: a letter, then letters or digits, at most 8.",
        ros_only=True,
    )


@dataclass(frozen=True)
class SceneSettings:
    min_confidence: float = setting(
        2.0,
        "Points below this network confidence (1 upwards) are left out.",
        low=1,
        high=100,
        live=True,
    )
    min_range_m: float = setting(0.2, "Nearest point kept.", unit="m", low=0, high=5, live=True)
    max_range_m: float = setting(
        8.0, "Farthest point kept.", unit="m", low=0.5, high=100, live=True
    )
    voxel_m: float = setting(
        0.03,
        "Thin clouds to one point per cube of this side; 0: keep all.",
        unit="m",
        low=0,
        high=1,
        live=True,
    )
    max_points: int = setting(20_000, "Points per cloud at most.", low=100, high=400_000, live=True)
    rate_hz: float = setting(
        0.0,
        "Make depth, masks, clouds and map of at most this many frames per second; 0: of every one.",
        unit="Hz",
        low=0,
        high=60,
        live=True,
        ros_only=True,
    )
    edge_filter: float = setting(
        0.04,
        "Relative depth step that marks a flying pixel; 0: keep all.",
        low=0,
        high=1,
        live=True,
    )
    remove_people: str = setting(
        "both",
        "What takes people out of the static cloud: the mask, the body meshes, or both.",
        choices=("mask", "body", "both"),
        live=True,
    )
    mask_threshold: float = setting(
        0.1, "Person probability from which a pixel belongs to a person.", low=0, high=1, live=True
    )
    mask_dilate_px: int = setting(
        10,
        "Grow the person mask by this many network pixels for the static cloud.",
        unit="px",
        low=0,
        high=64,
        live=True,
    )
    body_margin_m: float = setting(
        0.10,
        "Points this close to a body mesh are taken out of the static cloud.",
        unit="m",
        low=0,
        high=1,
        live=True,
    )


@dataclass(frozen=True)
class MapSettings:
    enabled: bool = setting(
        True, "Accumulate the static scene in the level frame, people removed.", ros_only=True
    )
    voxel_m: float = setting(
        0.05, "Side of the map's cubes.", unit="m", low=0.01, high=1, ros_only=True
    )
    max_voxels: int = setting(
        500_000,
        "Cubes kept at most; those not seen for the longest time go first.",
        low=1000,
        high=10_000_000,
        ros_only=True,
    )
    min_observations: int = setting(
        3,
        "Frames a cube must have been seen in before it is published or saved.",
        unit="frames",
        low=1,
        high=100,
        live=True,
        ros_only=True,
    )
    radius_m: float = setting(
        15.0,
        "Forget what is farther from the camera than this.",
        unit="m",
        low=1,
        high=1000,
        live=True,
        ros_only=True,
    )
    publish_period_s: float = setting(
        2.0,
        "Time between two messages of the map at least, in ROS time.",
        unit="s",
        low=0.1,
        high=60,
        live=True,
        ros_only=True,
    )
    directory: str = setting(
        "", "Existing folder that ~/map/save writes to; empty: saving is refused.", ros_only=True
    )


@dataclass(frozen=True)
class FramesSettings:
    level: str = setting(
        "human3r_odom", "Frame with z up whose origin is the session's first camera.", ros_only=True
    )
    base: str = setting(
        "",
        "Frame that moves with the camera and gets the TF; empty: climb static transforms from the image's frame.",
        ros_only=True,
    )
    anchor: str = setting(
        "odom",
        "Fixed frame of the robot, for tf.mode anchored and level.source tf.",
        ros_only=True,
    )


@dataclass(frozen=True)
class TfSettings:
    mode: str = setting(
        "none",
        "none: broadcast nothing; odometry: level to base, for a camera without robot TF; anchored: anchor to level, for robots; inverse: base to level, for a quick look on a robot.",
        choices=("none", "odometry", "inverse", "anchored"),
        ros_only=True,
    )
    lookup_timeout_s: float = setting(
        0.05,
        "Wait this long for the robot's TF at the image's stamp.",
        unit="s",
        low=0,
        high=1,
        live=True,
        ros_only=True,
    )
    future_offset_s: float = setting(
        0.1,
        "Mode anchored stamps its transform this far ahead, so that look-ups between frames succeed.",
        unit="s",
        low=0,
        high=2,
        live=True,
        ros_only=True,
    )
    republish_hz: float = setting(
        0.0,
        "Mode anchored also repeats its last transform at this rate; 0: once per frame only. Leave it 0 for lock-step replay.",
        unit="Hz",
        low=0,
        high=100,
        live=True,
        ros_only=True,
    )


@dataclass(frozen=True)
class LevelSettings:
    source: str = setting(
        "camera",
        "Where z up comes from. camera: the first camera is level but for level.pitch_rad; tf: frames.anchor is level; floor: the plane under people's feet.",
        choices=("camera", "tf", "floor"),
        ros_only=True,
    )
    pitch_rad: float = setting(
        0.0,
        "Tilt of the first camera for level.source camera, positive looks down.",
        unit="rad",
        low=-1.57,
        high=1.57,
    )


@dataclass(frozen=True)
class ScaleSettings:
    mode: str = setting(
        "network",
        "Where metres come from. network: its own belief; fixed: scale.value; camera_height: the camera's height above the floor; odometry: the robot's own motion, from TF; depth: an aligned depth image on topic depth. The last two need the node.",
        choices=("network", "fixed", "camera_height", "odometry", "depth"),
    )
    value: float = setting(
        1.0,
        "Metres per unit of the network, for scale.mode fixed.",
        low=0.01,
        high=100,
    )
    camera_height_m: float = setting(
        0.0,
        "Height of the camera above the floor, for scale.mode camera_height; 0: the node takes it from TF, above frames.base.",
        unit="m",
        low=0,
        high=10,
    )


@dataclass(frozen=True)
class OdometrySettings:
    source: str = setting(
        "auto",
        "Where the camera's path comes from. network: from the network's camera poses; corners: from corners of the image, outside of people and as deep as the network says, followed from frame to frame; auto: corners for human3r_mini, network for all others, as published.",
        choices=("auto", "network", "corners"),
    )
    position_stddev_m: float = setting(
        0.1,
        "Constant standard deviation written into the pose covariance.",
        unit="m",
        low=1e-6,
        high=1000,
        live=True,
        ros_only=True,
    )
    rotation_stddev_rad: float = setting(
        0.05,
        "Constant standard deviation written into the pose covariance.",
        unit="rad",
        low=1e-6,
        high=10,
        live=True,
        ros_only=True,
    )


@dataclass(frozen=True)
class PublishSettings:
    depth: bool = setting(
        True, "Offer depth/image, depth/camera_info and depth/confidence.", ros_only=True
    )
    mask: bool = setting(True, "Offer mask/image and mask/labels.", ros_only=True)
    points: bool = setting(True, "Offer points, people included.", ros_only=True)
    scene: bool = setting(True, "Offer scene/points, people removed.", ros_only=True)
    map: bool = setting(True, "Offer map/points, where map.enabled is set.", ros_only=True)
    meshes: bool = setting(
        False,
        "Offer meshes and mesh_topology; check the licence of the body model before sharing them.",
        ros_only=True,
    )
    odometry: bool = setting(True, "Offer odometry.", ros_only=True)
    shape: bool = setting(
        True,
        "Fill in shape and expression coefficients; false protects what is near-biometric.",
        ros_only=True,
    )


@dataclass(frozen=True)
class DiagnosticsSettings:
    period_s: float = setting(
        1.0,
        "Wall time between two reports on /diagnostics.",
        unit="s",
        low=0.1,
        high=60,
        live=True,
        ros_only=True,
    )
    min_rate_hz: float = setting(
        3.0,
        "Warn when fewer frames per second were processed over 5 s; 0: never.",
        unit="Hz",
        low=0,
        high=120,
        live=True,
        ros_only=True,
    )
    max_latency_s: float = setting(
        0.5,
        "Warn when frames took longer than this from stamp to publication over 5 s, and leave out optional outputs after 10 such frames in a row; 0: never.",
        unit="s",
        low=0,
        high=10,
        live=True,
        ros_only=True,
    )


@dataclass(frozen=True)
class FaultSettings:
    max_consecutive: int = setting(
        5,
        "Failed frames in a row after which the node gives up.",
        low=1,
        high=1000,
        live=True,
        ros_only=True,
    )
    policy: str = setting(
        "deactivate",
        "After giving up: deactivate and clean up, or exit with code 3.",
        choices=("deactivate", "exit"),
        live=True,
        ros_only=True,
    )


@dataclass(frozen=True)
class Settings:
    """All settings, by section."""

    model: ModelSettings = field(default_factory=ModelSettings)
    input: InputSettings = field(default_factory=InputSettings)
    session: SessionSettings = field(default_factory=SessionSettings)
    people: PeopleSettings = field(default_factory=PeopleSettings)
    scene: SceneSettings = field(default_factory=SceneSettings)
    map: MapSettings = field(default_factory=MapSettings)
    frames: FramesSettings = field(default_factory=FramesSettings)
    tf: TfSettings = field(default_factory=TfSettings)
    level: LevelSettings = field(default_factory=LevelSettings)
    scale: ScaleSettings = field(default_factory=ScaleSettings)
    odometry: OdometrySettings = field(default_factory=OdometrySettings)
    publish: PublishSettings = field(default_factory=PublishSettings)
    diagnostics: DiagnosticsSettings = field(default_factory=DiagnosticsSettings)
    fault: FaultSettings = field(default_factory=FaultSettings)

    def __post_init__(self) -> None:
        for spec, value in zip(iterate(), self.flat().values(), strict=True):
            spec.check(value)
        self._check_together()

    def _check_together(self) -> None:
        if self.scene.min_range_m >= self.scene.max_range_m:
            raise ConfigError(
                f"scene.min_range_m is {self.scene.min_range_m} and scene.max_range_m is "
                f"{self.scene.max_range_m}; expected min below max. Change one of them."
            )
        if self.input.policy == "newest" and self.input.queue != 1:
            raise ConfigError(
                f"input.queue is {self.input.queue} with input.policy newest, which keeps one frame. "
                "Set input.queue to 1, or input.policy to every."
            )

        self._check_scale()
        if self.input.camera_matrix != "auto" and self.input.camera_info == "ignore":
            raise ConfigError(
                f"input.camera_matrix is {self.input.camera_matrix} with input.camera_info ignore, "
                "so there is no matrix to use. Set input.camera_info to optional or required, or "
                "input.camera_matrix to auto."
            )
        if self.input.undistort and self.input.camera_matrix == "P":
            raise ConfigError(
                "input.undistort is set with input.camera_matrix P, but rectified images have no "
                "distortion left. Set input.camera_matrix to K or auto, or input.undistort to "
                "false."
            )
        if self.input.undistort and self.input.camera_info == "ignore":
            raise ConfigError(
                "input.undistort is set with input.camera_info ignore, so nothing would say how the "
                "lens bends. Set input.camera_info to optional or required, or input.undistort to "
                "false."
            )

    def _check_scale(self) -> None:
        scale = self.scale
        for name, value, unused, mode in (
            ("value", scale.value, 1.0, "fixed"),
            ("camera_height_m", scale.camera_height_m, 0.0, "camera_height"),
        ):
            if value != unused and scale.mode != mode:
                raise ConfigError(
                    f"scale.{name} is {value} with scale.mode {scale.mode}, which does not use it. "
                    f"Set scale.mode to {mode}, or leave scale.{name} at {unused}."
                )

    def flat(self) -> dict[str, Value]:
        """Dotted name to value, in declaration order."""
        return {
            f"{section.name}.{item.name}": getattr(getattr(self, section.name), item.name)
            for section in dataclasses.fields(self)
            for item in dataclasses.fields(getattr(self, section.name))
        }

    def replace(self, values: Mapping[str, Any]) -> "Settings":
        """These settings with some dotted names changed, checked together.

        Raises:
            ConfigError: unknown name (the nearest known one is suggested), wrong type, out of
                range, or a contradiction.
        """
        sections: dict[str, dict[str, Value]] = {}
        specs = {spec.name: spec for spec in iterate()}
        for name, value in values.items():
            if name not in specs:
                near = difflib.get_close_matches(name, specs, n=1)
                hint = f"did you mean {near[0]}?" if near else "docs/settings.md lists all."
                raise ConfigError(f"{name} is no setting of human3r; {hint}")
            section, _, key = name.partition(".")
            sections.setdefault(section, {})[key] = specs[name].coerce(value)
        return dataclasses.replace(
            self,
            **{
                section: dataclasses.replace(getattr(self, section), **changed)
                for section, changed in sections.items()
            },
        )


@dataclass(frozen=True)
class SettingSpec:
    """The declaration of one setting."""

    name: str
    """Dotted name, for example ``scene.voxel_m``."""
    default: Value
    help: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    live: bool
    ros_only: bool

    @property
    def type(self) -> type:
        """bool, int, float or str."""
        return type(self.default)

    def coerce(self, value: Any) -> Value:
        """``value`` as this setting's type; integers pass as floats, text is never parsed.

        Raises:
            ConfigError: another type.
        """
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if type(value) is not self.type:
            raise ConfigError(
                f"{self.name}: expected {self.type.__name__}, got {type(value).__name__} "
                f"{reprlib.repr(value)}."
            )
        return value

    def parse(self, text: str) -> Value:
        """``text`` from a command line as this setting's type.

        Raises:
            ConfigError: not readable as that type.
        """
        if self.type is str:
            return text
        if self.type is bool:
            words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
            if text.lower() in words:
                return words[text.lower()]
        else:
            try:
                return self.type(text)
            except ValueError:
                pass
        raise ConfigError(f"{self.name}: expected {self.type.__name__}, got {text!r}.")

    def check(self, value: Value) -> None:
        """Nothing, when the value is allowed.

        Raises:
            ConfigError: wrong type, not finite, out of range, or none of the choices.
        """
        self.coerce(value)
        if self.choices and value not in self.choices:
            raise ConfigError(
                f"{self.name} is {reprlib.repr(value)}; expected one of {', '.join(self.choices)}."
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{self.name} is {value}; expected a finite number.")
        if isinstance(value, str):
            return
        too_low = self.low is not None and value < self.low
        too_high = self.high is not None and value > self.high
        if too_low or too_high:
            raise ConfigError(
                f"{self.name} is {value}{self.unit and ' ' + self.unit}; "
                f"expected {self.low} to {self.high}."
            )


def iterate() -> Iterator[SettingSpec]:
    """The declaration of every setting, in order."""
    for section in dataclasses.fields(Settings):
        section_type: Any = section.default_factory
        for item in dataclasses.fields(section_type):
            yield SettingSpec(
                name=f"{section.name}.{item.name}", default=item.default, **item.metadata
            )


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Dotted names and values from a YAML file of sections.

    A ROS 2 parameter file is accepted too: the one node's ``ros__parameters`` are taken.

    Raises:
        ConfigError: unreadable file or not a mapping.
    """
    import yaml

    if not Path(path).is_file():
        raise ConfigError(f"{path}: no such file; expected YAML settings. Check the path.")
    try:
        with Path(path).open("rb") as file:
            text = file.read(_MAX_YAML_BYTES + 1)
        if len(text) > _MAX_YAML_BYTES:
            raise ValueError(f"more than {_MAX_YAML_BYTES} bytes")
        document = yaml.safe_load(text.decode("utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path}: cannot be read as YAML settings: {error}. `human3r settings` prints an "
            "example."
        ) from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected a mapping of sections, got {type(document).__name__}.")
    if len(document) == 1:
        only = next(iter(document.values()))
        if isinstance(only, dict) and set(only) == {"ros__parameters"}:
            document = only["ros__parameters"] or {}
    flat: dict[str, Any] = {}
    for section, content in document.items():
        if isinstance(content, dict):
            flat.update({f"{section}.{key}": value for key, value in content.items()})
        else:
            flat[str(section)] = content
    return flat


def dump_yaml(settings: Settings, *, with_help: bool = False) -> str:
    """The settings as YAML text that ``load_yaml`` reads back."""
    import yaml

    lines: list[str] = []
    values = settings.flat()
    section = ""
    for spec in iterate():
        head, _, key = spec.name.partition(".")
        if head != section:
            section = head
            lines.append(f"{section}:")
        if with_help:
            lines.append(f"  # {spec.help} {describe_range(spec)}".rstrip())
        text = yaml.safe_dump({key: values[spec.name]}, default_flow_style=False).strip()
        lines.append(f"  {text}")
    return "\n".join(lines) + "\n"


def describe_range(spec: SettingSpec) -> str:
    """Unit, bounds or choices in a few words; empty when anything goes."""
    if spec.choices:
        return "One of " + ", ".join(spec.choices) + "."
    if spec.low is not None:
        low, high = (
            str(int(bound)) if float(bound).is_integer() else str(bound)
            for bound in (spec.low, spec.high)
        )
        return f"{low} to {high}{spec.unit and ' ' + spec.unit}."
    return ""
