"""Which sequences to draw: everything that decides what is in one, and its name."""

from dataclasses import asdict, dataclass

from human3r.errors import InputError

VERSION = 2
"""Increases whenever a seed would give another sequence."""
SPLITS = ("train", "val", "test")
DIFFICULTIES = ("easy", "hard")
MOST_CAMERAS = 4
MIXED = "mixed"
"""For ``list_orders``: even seeds are easy, odd ones hard."""


@dataclass(frozen=True)
class Order:
    """One sequence to draw; the arguments of ``render_sequence``."""

    seed: int
    """Not negative; the number of the sequence in its split."""
    split: str
    """One of ``SPLITS``."""
    difficulty: str
    """One of ``DIFFICULTIES``."""
    frames: int
    rate_hz: float
    """Frames per second."""
    width_px: int
    height_px: int
    cameras: int = 1
    """How many look at the scene."""
    camera: int = 0
    """Which of them."""

    @property
    def scene(self) -> str:
        """Name of what several cameras look at together."""
        return f"{self.split}-{self.difficulty}-{self.seed:06d}"

    @property
    def name(self) -> str:
        """File name without ending."""
        return self.scene if self.cameras == 1 else f"{self.scene}-camera{self.camera}"

    def arguments(self) -> dict[str, str | int | float]:
        """For ``render_sequence``."""
        values = asdict(self)
        if self.cameras == 1:
            del values["cameras"], values["camera"]
        return values

    def metadata(self) -> dict[str, str | int | float]:
        """What a sequence's file says about where it comes from."""
        several = {"scene": self.scene, "camera": self.camera, "cameras": self.cameras}
        return {
            **(several if self.cameras > 1 else {}),
            "name": self.name,
            "seed": self.seed,
            "split": self.split,
            "difficulty": self.difficulty,
            "rate_hz": self.rate_hz,
            "body": "free_body",
            "generator": VERSION,
        }

    def check(self) -> None:
        """Raise InputError when a value is out of range."""
        if self.split not in SPLITS:
            raise InputError(f"split is {self.split!r}; expected one of {', '.join(SPLITS)}.")
        if self.difficulty not in DIFFICULTIES:
            raise InputError(
                f"difficulty is {self.difficulty!r}; expected one of {', '.join(DIFFICULTIES)}."
            )
        if self.seed < 0 or self.frames < 1 or not 0 < self.rate_hz <= 1000:
            raise InputError(
                f"seed {self.seed}, {self.frames} frames at {self.rate_hz} Hz; expected a seed "
                "from 0, at least one frame and a rate above 0 up to 1000 Hz."
            )
        if not (1 <= self.cameras <= MOST_CAMERAS and 0 <= self.camera < self.cameras):
            raise InputError(
                f"camera {self.camera} of {self.cameras}; expected 1 to {MOST_CAMERAS} cameras, "
                "numbered from 0."
            )
        check_size(self.width_px, self.height_px)


def check_size(width_px: int, height_px: int) -> None:
    """Raise InputError when images of this size cannot be drawn."""
    if not (16 <= width_px <= 4096 and 16 <= height_px <= 4096):
        raise InputError(f"size is {width_px}x{height_px}; expected 16 to 4096 pixels a side.")


def list_orders(
    count: int,
    first_seed: int,
    *,
    split: str,
    difficulty: str,
    frames: int,
    rate_hz: float,
    width_px: int,
    height_px: int,
    cameras: int = 1,
) -> list[Order]:
    """Orders with the seeds from ``first_seed`` on, one per camera.

    ``difficulty`` may be ``MIXED``.

    Raises:
        InputError: a value is out of range.
    """
    orders = [
        Order(
            seed,
            split,
            DIFFICULTIES[seed % 2] if difficulty == MIXED else difficulty,
            frames,
            rate_hz,
            width_px,
            height_px,
            cameras,
            camera,
        )
        for seed in range(first_seed, first_seed + count)
        for camera in range(max(cameras, 1))
    ]
    for order in orders:
        order.check()
    return orders
