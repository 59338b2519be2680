"""What can be set about the fusion of several views."""

from dataclasses import dataclass, fields

from human3r.errors import ConfigError

POSITIONS = ("weighted", "triangulation", "mean")


@dataclass(frozen=True)
class FusionSettings:
    """Numbers of association and fusion; SI units.

    Raises:
        ConfigError: out of range.
    """

    position: str = "weighted"
    """How places are fused. weighted: by what each view knows along and across its ray;
    triangulation: nearest point to the head's rays, as the paper has it; mean: of the points."""
    max_cost_m: float = 1.0
    """Two people whose cost (0.8 * place + 0.2 * pose, mean over joints) is higher are two."""
    max_deviation: float = 5.0
    """Nor are they one where their places differ by more standard deviations than this."""
    memory_s: float = 1.0
    """Time over which the costs of a pair are averaged."""
    remember_s: float = 3.0
    """How long a number waits for its person, when no camera sees them any more."""
    handover_s: float = 2.0
    """Time in which a place moves to what the remaining cameras say, when one is lost or joins."""
    camera_rotation_rad: float = 0.009
    """Standard deviation of the cameras' calibrated rotation."""
    camera_position_m: float = 0.03
    """Standard deviation of the cameras' calibrated place."""
    floor_m: float = 0.08
    """Standard deviation of feet about the floor that people stand on who are seen by several
    cameras; it says how far away whoever one camera sees is. 0: nothing is made of it."""
    max_residual_px: float = 0.0
    """A camera whose people lie further from where the others see them is reported as wrongly
    calibrated; 0: three times what the calibration's standard deviations explain."""

    def __post_init__(self) -> None:
        if self.position not in POSITIONS:
            raise ConfigError(
                f"position is {self.position!r}; expected one of {', '.join(POSITIONS)}."
            )
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not 0 <= value < 1e6:
                raise ConfigError(f"{field.name} is {value}; expected a number from 0 up.")
