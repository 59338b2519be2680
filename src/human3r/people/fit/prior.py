"""What is known before a picture: how bodies stand, and how far landmarks lie from them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from human3r.errors import InputError

PRIOR_FILE = Path(__file__).resolve().parent.parent / "data" / "landmark_prior.npz"
_SHAPES = {
    "pose_mean": (63,),
    "pose_whitening": (63, 63),
    "image_offsets_m": (33, 3),
    "world_offsets_m": (33, 3),
    "world_sigmas_m": (33, 3),
    "pixel_sigmas": (33,),
    "lean": (2,),
    "lean_unknown_up": (2,),
}
_ADVICE = "Make it again with tools/make_landmark_prior.py."


@dataclass(frozen=True)
class LandmarkPrior:
    """Gaussians over poses and over the errors of landmarks; read with ``read_prior``."""

    pose_mean: np.ndarray
    """(63,) rad: rotation vectors of the 21 joints after the root."""
    pose_whitening: np.ndarray
    """(63, 63): makes a pose's distance from the mean a standard normal."""
    image_offsets_m: np.ndarray
    """(33, 3) metres: where landmarks in the image lie beside the body model's points, in the axes
    of the joint they move with."""
    world_offsets_m: np.ndarray
    """The same of world landmarks."""
    world_sigmas_m: np.ndarray
    """(33, 3) metres: standard deviations of world landmarks along the axes of a camera that looks
    at the person."""
    pixel_sigmas: np.ndarray
    """(33,) standard deviations of landmarks in the image, as shares of the region's side."""
    lean: np.ndarray
    """(2,) constant and slope, rad per rad: the turn of world landmarks about the camera's x axis
    that undoes a lean. The network takes people for more upright in the picture than they are: of
    the angle by which up leaves the image plane it sees about half."""
    lean_unknown_up: np.ndarray
    """The same to be used while up is not known, with that angle as of a level camera."""


def read_prior(path: str | Path = PRIOR_FILE) -> LandmarkPrior:
    """The prior of a file.

    Raises:
        InputError: missing, damaged, or another file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: _checked(file[name], name, shape) for name, shape in _SHAPES.items()}
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise InputError(
            f"{path}: no landmark prior ({type(error).__name__}: {error}); expected the arrays "
            f"{', '.join(_SHAPES)}. {_ADVICE}"
        ) from error
    return LandmarkPrior(**arrays)


def _checked(array: np.ndarray, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"{name} of shape {array.shape}; expected finite numbers of {shape}")
    return array.astype(np.float64)
