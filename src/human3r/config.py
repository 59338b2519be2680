"""Every setting, once: default, unit, bounds, help, and whether it may change while running.

Command line flags, YAML files, ROS parameter descriptors, ``config/human3r.yaml`` and
``docs/settings.md`` are derived from the dataclasses below; nothing else holds a default.
"""

# ruff: noqa: E501 - the help texts below are whole sentences; wrapping them hides the table.

import re
from dataclasses import dataclass, field

from human3r.errors import ConfigError, InputError
from human3r.setting import Declared, TextForm, setting

NODE = "the node"
"""Place where a setting has an effect: the ROS node, also under ``live`` and ``demo``."""
RUN, BAG, EVALUATE = "`human3r run`", "`human3r run --save bag`", "`human3r evaluate`"
"""The other places."""

_MESSAGES = (NODE, BAG)
_STREAMS = (NODE, RUN)
_LANDMARKS = ("people.source", ("auto", "landmarks"))
_MONOCULAR = ("scene.source", ("auto", "monocular"))

MAX_SIDE_PX = 1920
"""Images from files with a longer side are reduced to this, unless told otherwise (``human3r run
--max-side``, ``human3r.run``): the networks see less anyway."""

FRAME_NAME = TextForm(
    "frame name",
    "a frame name: at most 128 printable characters without blanks and without leading slash",
    lambda text: (
        0 < len(text) <= 128
        and not text.startswith("/")
        and all(c.isprintable() and not c.isspace() for c in text)
    ),
)
_ID_PREFIX = TextForm(
    "short word",
    "a letter, then letters or digits, at most 8; ids become topic and frame names",
    lambda text: re.fullmatch("[A-Za-z][A-Za-z0-9]{0,7}", text) is not None,
)
_SHA256 = TextForm(
    "SHA-256",
    "64 hex digits, as `sha256sum FILE` prints them",
    lambda text: re.fullmatch("[0-9a-fA-F]{64}", text) is not None,
)

_DEVICE = TextForm(
    "device",
    "auto, cpu, cuda or cuda:N",
    lambda text: re.fullmatch("auto|cpu|cuda(:[0-9]{1,3})?", text) is not None,
)


@dataclass(frozen=True)
class ModelSettings:
    weights: str = setting("", "Weights file, safetensors; empty: the bundled human3r_mini.")
    sha256: str = setting(
        "",
        "Expected SHA-256 of the weights file, 64 hex digits; empty: known files only are compared.",
        form=_SHA256,
    )
    body_model: str = setting(
        "", "Body model file in the SMPL-X layout, npz; empty: the free body."
    )
    device: str = setting(
        "auto", "Where the network runs: auto, cpu, cuda or cuda:N.", form=_DEVICE
    )
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
        1,
        "Frames run through the network before the first real one.",
        low=0,
        high=20,
        only=(NODE,),
    )


@dataclass(frozen=True)
class InputSettings:
    transport: str = setting(
        "raw",
        "Kind of image topic: raw reads sensor_msgs/Image, compressed reads sensor_msgs/CompressedImage on <image>/compressed.",
        choices=("raw", "compressed"),
        only=(NODE,),
    )
    policy: str = setting(
        "newest",
        "newest: an unprocessed frame is replaced by a newer one; every: frames queue.",
        choices=("newest", "every"),
        only=(NODE,),
    )
    queue: int = setting(
        1, "Frames waiting at most; must be 1 with policy newest.", low=1, high=1000, only=(NODE,)
    )
    max_rate_hz: float = setting(
        0.0,
        "Process at most this many frames per second; 0: no limit.",
        unit="Hz",
        low=0,
        high=120,
        live=True,
        only=_STREAMS,
    )
    max_age_s: float = setting(
        1.0,
        "Drop a frame older than this when it is taken; 0: never; ignored under simulated time.",
        unit="s",
        low=0,
        high=60,
        live=True,
        only=(NODE,),
    )
    max_pixels: int = setting(
        33_554_432, "Reject larger images before decoding.", unit="px", low=4096, high=67_108_864
    )
    stamp: str = setting(
        "header",
        "header: the image's own stamp; receive: time of arrival (of a bag: of recording), for cameras that send zero stamps.",
        choices=("header", "receive"),
        only=_STREAMS,
    )
    camera_info: str = setting(
        "optional",
        "required: reject images without a usable calibration; optional: use it where present; ignore.",
        choices=("required", "optional", "ignore"),
        only=_STREAMS,
    )
    camera_info_timeout_s: float = setting(
        2.0,
        "Warn when no calibration arrived after this time.",
        unit="s",
        low=0,
        high=60,
        live=True,
        only=(NODE,),
        when=("input.camera_info", ("required", "optional")),
    )
    camera_matrix: str = setting(
        "auto",
        "Matrix of camera_info that describes the images. K, with its distortion: images as the lens shows them; P: rectified images; auto: P where the last part of the topic's name begins with image_rect, else K.",
        choices=("auto", "K", "P"),
        only=_STREAMS,
    )
    max_frozen_s: float = setting(
        1.0,
        "A picture that has been the same to the last bit for so long is frozen, as where a driver repeats one image: nothing is known from it, people coast; 0: never, for simulators whose images have no noise.",
        unit="s",
        low=0,
        high=3600,
        live=True,
    )
    undistort: bool = setting(
        False,
        "Take the lens distortion that camera_info describes out of each image before the network.",
        only=_STREAMS,
    )


@dataclass(frozen=True)
class SessionSettings:
    reset_on_activate: bool = setting(
        True, "Forget the recurrent state at every activation.", live=True, only=(NODE,)
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
        only=_STREAMS,
    )
    gap_reset_s: float = setting(
        0.0,
        "Start a new session after a pause this long; 0: never.",
        unit="s",
        low=0,
        high=3600,
        live=True,
        only=_STREAMS,
    )


@dataclass(frozen=True)
class PeopleSettings:
    source: str = setting(
        "auto",
        "Where people come from. network: the recurrent network's own bodies; landmarks: landmark networks and a fit of the body model; auto: landmarks for human3r_mini, network for all others, as published.",
        choices=("auto", "network", "landmarks"),
    )
    detector: str = setting(
        "movenet",
        "What finds new people for people.source landmarks. movenet: several people, also small ones; mediapipe: a few large ones.",
        choices=("movenet", "mediapipe"),
        when=_LANDMARKS,
    )
    detect_every: int = setting(
        3,
        "Frames from one run of the detector to the next while people are tracked; below 10 frames"
        " per second, tenths of a second.",
        unit="frames",
        low=1,
        high=30,
        when=_LANDMARKS,
    )
    max_regions: int = setting(
        8,
        "Most people that landmarks are looked for in one frame.",
        low=1,
        high=64,
        when=_LANDMARKS,
    )
    landmarks: str = setting(
        "",
        "File of another landmark network, made by `human3r weights convert`; empty: the one that comes with human3r.",
        when=_LANDMARKS,
    )
    hands: str = setting(
        "",
        "Folder or file with a hand network, made by `human3r weights convert` from the npm package @mediapipe/holistic: wrists and fingers move; empty: fingers stay at rest.",
        when=_LANDMARKS,
    )
    face: str = setting(
        "",
        "The same with the face network: the jaw moves; empty: mouths stay shut.",
        when=_LANDMARKS,
    )
    min_score: float = setting(
        0.3,
        "Head score from which a person of people.source network counts as seen; no effect on landmarks.",
        low=0,
        high=1,
        live=True,
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
    )
    coast_s: float = setting(
        2.5,
        "A confirmed person who is out of sight is predicted for this time, then lost for good.",
        unit="s",
        low=0,
        high=5,
        live=True,
    )
    velocity_window_s: float = setting(
        0.4,
        "A person's velocity is the slope of their places over this time; half of it must be known.",
        unit="s",
        low=0.1,
        high=2,
        live=True,
    )
    visibility: bool = setting(
        True,
        "Test joints against bodies and depth; off: visibility and scene agreement stay open.",
        live=True,
    )
    constant_shape: bool = setting(
        False,
        "Give each person the average of their first 30 shapes, so that bones keep their lengths.",
        live=True,
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
        only=_MESSAGES,
        form=_ID_PREFIX,
    )


@dataclass(frozen=True)
class SceneSettings:
    source: str = setting(
        "auto",
        "Where depth comes from. network: the recurrent network; monocular: a depth network that sees one image and knows its camera; auto: monocular for human3r_mini, network for all others, as published.",
        choices=("auto", "network", "monocular"),
    )
    every: int = setting(
        1,
        "Run the scene network on the first of every so many frames only. People come from every frame, and where odometry.source is features the camera's path too; depth, clouds and map come with the frames that have a scene.",
        unit="frames",
        low=1,
        high=100,
        live=True,
        when=_LANDMARKS,
    )
    motion: bool = setting(
        True,
        "Correct the depth of a moving camera by features that are seen from several places, and average it over time, where odometry.source is features. False: each image's depth stands alone.",
        when=_MONOCULAR,
    )
    min_confidence: float = setting(
        2.0,
        "Points below this network confidence (1 upwards) are left out.",
        low=1,
        high=100,
        live=True,
        only=_STREAMS,
    )
    min_range_m: float = setting(
        0.2,
        "Nearest point kept.",
        unit="m",
        low=0,
        high=5,
        live=True,
        only=_STREAMS,
    )
    max_range_m: float = setting(
        8.0,
        "Farthest point kept.",
        unit="m",
        low=0.5,
        high=100,
        live=True,
        only=_STREAMS,
    )
    voxel_m: float = setting(
        0.03,
        "Thin clouds to one point per voxel of this side; 0: keep all.",
        unit="m",
        low=0,
        high=1,
        live=True,
        only=_STREAMS,
    )
    max_points: int = setting(
        20_000,
        "Points per cloud at most.",
        low=100,
        high=400_000,
        live=True,
        only=_STREAMS,
    )
    rate_hz: float = setting(
        0.0,
        "Make depth, masks, clouds and map of at most this many frames per second; 0: of every one.",
        unit="Hz",
        low=0,
        high=60,
        live=True,
        only=_MESSAGES,
    )
    edge_filter: float = setting(
        0.04,
        "Relative depth step that marks a flying pixel; 0: keep all.",
        low=0,
        high=1,
        live=True,
        only=_STREAMS,
    )
    remove_people: str = setting(
        "both",
        "What takes people out of the static cloud: the mask, the body meshes, or both.",
        choices=("mask", "body", "both"),
        live=True,
        only=_STREAMS,
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
        only=_STREAMS,
        when=("scene.remove_people", ("mask", "both")),
    )
    body_margin_m: float = setting(
        0.10,
        "Points this close to a body mesh are taken out of the static cloud.",
        unit="m",
        low=0,
        high=1,
        live=True,
        only=_STREAMS,
        when=("scene.remove_people", ("body", "both")),
    )


@dataclass(frozen=True)
class MapSettings:
    enabled: bool = setting(
        True, "Accumulate the static scene in the level frame, people removed.", only=_MESSAGES
    )
    voxel_m: float = setting(
        0.05,
        "Side of the map's voxels.",
        unit="m",
        low=0.01,
        high=1,
        only=_MESSAGES,
        when=("map.enabled", (True,)),
    )
    max_voxels: int = setting(
        500_000,
        "Voxels kept at most; those not seen for the longest time go first.",
        low=1000,
        high=10_000_000,
        only=_MESSAGES,
        when=("map.enabled", (True,)),
    )
    min_observations: int = setting(
        3,
        "Frames a voxel must have been seen in before it is published or saved.",
        unit="frames",
        low=1,
        high=100,
        live=True,
        only=_MESSAGES,
        when=("map.enabled", (True,)),
    )
    radius_m: float = setting(
        15.0,
        "Forget what is farther from the camera than this.",
        unit="m",
        low=1,
        high=1000,
        live=True,
        only=_MESSAGES,
        when=("map.enabled", (True,)),
    )
    publish_period_s: float = setting(
        2.0,
        "Time between two messages of the map at least, in ROS time.",
        unit="s",
        low=0.1,
        high=60,
        live=True,
        only=_MESSAGES,
        when=("map.enabled", (True,)),
    )
    obstacle_min_m: float = setting(
        0.25,
        "In the occupancy grid, what rises this far above the floor is an obstacle.",
        unit="m",
        low=0.02,
        high=2,
        live=True,
        only=(NODE,),
        when=("map.enabled", (True,)),
    )
    obstacle_max_m: float = setting(
        1.8,
        "In the occupancy grid, what is higher above the floor than this is no obstacle: the robot's height.",
        unit="m",
        low=0.05,
        high=10,
        live=True,
        only=(NODE,),
        when=("map.enabled", (True,)),
    )
    directory: str = setting(
        "",
        "Existing folder that ~/map/save writes to; empty: saving is refused.",
        only=(NODE,),
        when=("map.enabled", (True,)),
    )


@dataclass(frozen=True)
class FramesSettings:
    level: str = setting(
        "human3r_odom",
        "Frame with z up whose origin is the session's first camera.",
        only=_MESSAGES,
        form=FRAME_NAME,
    )
    base: str = setting(
        "",
        "Frame that moves with the camera and gets the TF; empty: climb static transforms from the image's frame.",
        only=_MESSAGES,
        form=FRAME_NAME,
    )
    anchor: str = setting(
        "odom",
        "Fixed frame of the robot, for tf.mode anchored and level.source tf.",
        only=(NODE,),
        form=FRAME_NAME,
    )


@dataclass(frozen=True)
class TfSettings:
    mode: str = setting(
        "none",
        "none: broadcast nothing; odometry: level to base, for a camera without robot TF; anchored: anchor to level, for robots; inverse: base to level, for a quick look on a robot.",
        choices=("none", "odometry", "inverse", "anchored"),
        only=(NODE,),
    )
    lookup_timeout_s: float = setting(
        0.05,
        "Wait this long for the robot's TF at the image's stamp.",
        unit="s",
        low=0,
        high=1,
        live=True,
        only=(NODE,),
    )
    future_offset_s: float = setting(
        0.1,
        "Mode anchored stamps its transform this far ahead, so that look-ups between frames succeed.",
        unit="s",
        low=0,
        high=2,
        live=True,
        only=(NODE,),
        when=("tf.mode", ("anchored",)),
    )
    republish_hz: float = setting(
        0.0,
        "Mode anchored also repeats its last transform at this rate; 0: once per frame only. Leave it 0 for lock-step replay.",
        unit="Hz",
        low=0,
        high=100,
        live=True,
        only=(NODE,),
        when=("tf.mode", ("anchored",)),
    )


@dataclass(frozen=True)
class LevelSettings:
    source: str = setting(
        "camera",
        "Where z up comes from. camera: the first camera is level but for level.pitch_rad; tf: frames.anchor is level; floor: the plane under people's feet.",
        choices=("camera", "tf", "floor"),
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
        "auto",
        "Where metres come from. auto: fused where people come from landmarks or scale.camera_height_m is given, network otherwise; network: its own belief; fixed: scale.value; camera_height: the camera's height above the floor; people: bodies that are metric already give the scene their scale; odometry: the robot's own motion, from TF; depth: an aligned depth image on topic depth; fused: all of these that are there, each as far as it can be trusted. odometry and depth need the node.",
        choices=(
            "auto",
            "network",
            "fixed",
            "camera_height",
            "people",
            "odometry",
            "depth",
            "fused",
        ),
    )
    value: float = setting(
        1.0,
        "Metres per unit of the network, for scale.mode fixed.",
        low=0.01,
        high=100,
    )
    camera_height_m: float = setting(
        0.0,
        "Height of the camera above the floor, for scale.mode camera_height and fused; 0: the node takes it from TF, above frames.base, for fused above base_footprint only.",
        unit="m",
        low=0,
        high=10,
    )


@dataclass(frozen=True)
class CameraSettings:
    focal: str = setting(
        "auto",
        "Which focal length counts where the camera is not calibrated. frame: each frame's own, as the network says it; stream: the median of the session's estimates; auto: stream for human3r_mini, frame for all others, as published.",
        choices=("auto", "frame", "stream"),
    )
    estimate_every: int = setting(
        15,
        "Where scene.source is monocular, estimate the focal length on a session's first ten frames with depth and then on every so many of them; they give the median of the session, and tell whether a calibration can be right.",
        unit="frames",
        low=1,
        high=1000,
        live=True,
        when=_MONOCULAR,
    )


@dataclass(frozen=True)
class OdometrySettings:
    source: str = setting(
        "auto",
        "Where the camera's path comes from. network: from the network's camera poses; features: from features of the image, outside of people and as deep as the network says, followed from frame to frame; auto: features for human3r_mini, network for all others, as published.",
        choices=("auto", "network", "features"),
        renamed={"corners": "features"},
    )
    position_stddev_m: float = setting(
        0.1,
        "Constant standard deviation written into the pose covariance.",
        unit="m",
        low=1e-6,
        high=1000,
        live=True,
        only=(NODE, BAG, EVALUATE),
    )
    rotation_stddev_rad: float = setting(
        0.05,
        "Constant standard deviation written into the pose covariance.",
        unit="rad",
        low=1e-6,
        high=10,
        live=True,
        only=(NODE, BAG, EVALUATE),
    )


@dataclass(frozen=True)
class PublishSettings:
    depth: bool = setting(
        True, "Offer depth/image, depth/camera_info and depth/confidence.", only=_MESSAGES
    )
    mask: bool = setting(True, "Offer mask/image and mask/labels.", only=_MESSAGES)
    points: bool = setting(True, "Offer points, people included.", only=_MESSAGES)
    scene: bool = setting(True, "Offer scene/points, people removed.", only=_MESSAGES)
    map: bool = setting(True, "Offer map/points, where map.enabled is set.", only=_MESSAGES)
    meshes: bool = setting(
        False,
        "Offer meshes and mesh_topology; check the licence of the body model before sharing them.",
        only=_MESSAGES,
    )
    odometry: bool = setting(True, "Offer odometry.", only=_MESSAGES)
    image: bool = setting(
        True,
        "Offer color/image/compressed and color/camera_info: the image as JPEG, its long side at most 640 pixels, for viewers; false keeps images of people out of bags.",
        only=_MESSAGES,
    )
    shape: bool = setting(
        True,
        "Fill in shape and expression coefficients; false protects what is near-biometric.",
        only=_MESSAGES,
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
        only=(NODE,),
    )
    min_rate_hz: float = setting(
        3.0,
        "Warn when fewer frames per second were processed over 5 s; 0: never.",
        unit="Hz",
        low=0,
        high=120,
        live=True,
        only=(NODE,),
    )
    max_latency_s: float = setting(
        0.5,
        "Warn when frames took longer than this from stamp to publication over 5 s, and leave out optional outputs after 10 such frames in a row; 0: never.",
        unit="s",
        low=0,
        high=10,
        live=True,
        only=(NODE,),
    )


@dataclass(frozen=True)
class FaultSettings:
    max_consecutive: int = setting(
        5,
        "Failed frames in a row after which the node gives up.",
        low=1,
        high=1000,
        live=True,
        only=_STREAMS,
    )
    policy: str = setting(
        "deactivate",
        "After giving up: deactivate and clean up, or exit with code 3.",
        choices=("deactivate", "exit"),
        live=True,
        only=(NODE,),
    )


@dataclass(frozen=True)
class WebSettings:
    port: int = setting(
        -1,
        "Port of a page that shows people, scene and camera live in 3D, for browsers; 0: any that is free; -1: no page. Needs the extra `web`.",
        low=-1,
        high=65535,
        only=_STREAMS,
    )
    host: str = setting(
        "127.0.0.1",
        "Address where the page is served; 127.0.0.1: to this machine alone; 0.0.0.0: to every machine in its network, unencrypted and without a password.",
        only=_STREAMS,
    )


@dataclass(frozen=True, repr=False)
class Settings(Declared):
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
    camera: CameraSettings = field(default_factory=CameraSettings)
    odometry: OdometrySettings = field(default_factory=OdometrySettings)
    publish: PublishSettings = field(default_factory=PublishSettings)
    diagnostics: DiagnosticsSettings = field(default_factory=DiagnosticsSettings)
    fault: FaultSettings = field(default_factory=FaultSettings)
    web: WebSettings = field(default_factory=WebSettings)

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
        self._check_frames()
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
        for name, value, unused, modes in (
            ("value", scale.value, 1.0, ("fixed",)),
            ("camera_height_m", scale.camera_height_m, 0.0, ("camera_height", "fused", "auto")),
        ):
            if value != unused and scale.mode not in modes:
                raise ConfigError(
                    f"scale.{name} is {value} with scale.mode {scale.mode}, which does not use it. "
                    f"Set scale.mode to {modes[0]}, or leave scale.{name} at {unused}."
                )

    def _check_frames(self) -> None:
        names = {"frames.level": self.frames.level, "frames.base": self.frames.base}
        if self.needs_anchor:
            names["frames.anchor"] = self.frames.anchor
        for name, value in names.items():
            other = next((key for key in names if key != name and names[key] == value), None)
            if value and other is not None:
                raise ConfigError(
                    f"{name} and {other} are both {value!r}; expected two frames. Change one."
                )

    @property
    def needs_anchor(self) -> bool:
        """Whether the robot's TF is asked where the camera is in ``frames.anchor``."""
        return self.tf.mode == "anchored" or self.level.source == "tf"


def settings_of(given: object) -> Settings:
    """Settings that were given; None means the defaults.

    Raises:
        InputError: something else.
    """
    if given is None:
        return Settings()
    if not isinstance(given, Settings):
        raise InputError(
            f"settings is {type(given).__name__}; expected Settings or None. Make them with "
            "Settings().replace({'model.device': 'cpu'}) or Settings(model=ModelSettings(...))."
        )
    return given
