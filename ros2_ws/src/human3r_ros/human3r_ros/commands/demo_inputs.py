"""What a demonstration runs on: the user's files, or what comes with human3r."""

from dataclasses import dataclass
from pathlib import Path

from human3r.body import find_body_file
from human3r.body.default import default_body_path
from human3r.model.default import default_weights_path
from human3r.model.weights_file import read_index, sha256_of


@dataclass(frozen=True)
class DemoModel:
    """Network weights and body model of a demonstration."""

    weights: Path
    body: Path
    variant: str
    """Name of the network, ``custom`` for an unnamed one."""
    seed: int | None
    """Of seeded weights, which are untrained; None for others."""

    @property
    def is_trained(self) -> bool:
        """Whether the results mean anything."""
        return self.seed is None

    def summary(self) -> dict[str, object]:
        """For the summary file: what was used, with checksums."""
        return {
            "weights": {
                "file": self.weights.name,
                "sha256": sha256_of(self.weights),
                "variant": self.variant,
                "trained": self.is_trained,
            },
            "body_model": {"file": self.body.name, "sha256": sha256_of(self.body)},
        }


def find_model(weights: str, body: str) -> DemoModel:
    """The user's files, else the weights and the body that come with human3r.

    Raises:
        WeightsError: the weights are missing or damaged.
        BodyModelError: the body model is missing.
    """
    weights_file = Path(weights).expanduser() if weights else default_weights_path()
    header = read_index(weights_file).header
    return DemoModel(
        weights=weights_file.resolve(),
        body=find_body_file(Path(body).expanduser() if body else default_body_path()).resolve(),
        variant=header.variant if header else "unknown",
        seed=header.seed if header else None,
    )
