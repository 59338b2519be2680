"""When a training ends, and what happens how often until then."""

from dataclasses import dataclass

from human3r.errors import ConfigError


@dataclass(frozen=True)
class Duration:
    """How long a training takes: whichever of the two ends first."""

    steps: int = 0
    """0: no bound."""
    minutes: float = 0.0
    """Of training, resumed parts included; 0: no bound."""

    def __post_init__(self) -> None:
        if self.steps < 0 or self.minutes < 0 or not (self.steps or self.minutes):
            raise ConfigError(
                f"{self.steps} steps and {self.minutes} minutes; expected a positive number of at "
                "least one of them. Give --steps or --minutes."
            )

    def progress(self, step: int, elapsed_s: float) -> float:
        """How much of the training is over, 0 to 1."""
        shares = [0.0]
        if self.steps:
            shares.append(step / self.steps)
        if self.minutes:
            shares.append(elapsed_s / (60 * self.minutes))
        return min(1.0, max(shares))


@dataclass(frozen=True)
class Cadence:
    """What happens between steps, and how often."""

    checkpoint_s: float = 300.0
    validate_steps: int = 500
