"""The body model that comes with human3r: CC0, in the SMPL-X file layout; docs/free-body.md."""

from pathlib import Path


def default_body_path() -> Path:
    """The free body's file, for ``load_body_model``; its betas are not SMPL-X betas."""
    return Path(__file__).resolve().parent / "data" / "free_body.npz"
