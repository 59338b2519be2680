"""numba's compiler with the renderer's settings, or an error that says how to get it."""

from functools import partial

from human3r.errors import MissingExtraError

try:
    import numba
except ImportError as error:
    raise MissingExtraError(
        "The synthetic world is drawn by code that numba compiles, and numba is not installed. "
        "Install it, in the clone of human3r: pip install ./lab"
    ) from error

kernel = partial(numba.njit, cache=True, fastmath=False, nogil=True, error_model="numpy")
"""Decorator: compiled once and kept on disk; exact floating point, so pictures repeat."""
