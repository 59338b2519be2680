"""Which sequences to draw: everything that decides what is in one, and its name."""

from dataclasses import dataclass

from human3r.errors import InputError

VERSION = 2
"""Increases whenever a seed would give another sequence."""
SPLITS = ("train", "val", "test")
DIFFICULTIES = ("easy", "hard")
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

    @property
    def name(self) -> str:
        """File name without ending."""
        return f"{self.split}-{self.difficulty}-{self.seed:06d}"

    def metadata(self) -> dict[str, str | int | float]:
        """What a sequence's file says about where it comes from."""
        return {
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
        if not (16 <= self.width_px <= 4096 and 16 <= self.height_px <= 4096):
            raise InputError(
                f"size is {self.width_px}x{self.height_px}; expected 16 to 4096 pixels a side."
            )


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
) -> list[Order]:
    """Orders with the seeds from ``first_seed`` on; ``difficulty`` may be ``MIXED``.

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
        )
        for seed in range(first_seed, first_seed + count)
    ]
    for order in orders:
        order.check()
    return orders
