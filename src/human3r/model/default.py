"""The weights that come with human3r, trained on its synthetic world; docs/model-card.md."""

from pathlib import Path


def default_weights_path() -> Path:
    """File of the ``human3r_mini`` network; its betas are those of the free body."""
    return Path(__file__).resolve().parent / "data" / "human3r_mini.safetensors"
