"""Body models: parameters to joints and vertices."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from human3r.errors import BodyModelError, DeviceError
from human3r.file_kind import refuse_other_kinds

if TYPE_CHECKING:
    from human3r.body.base import BodyMesh, BodyModel

__all__ = ["BodyMesh", "BodyModel", "find_body_file", "load_body_model"]

_CANDIDATES = ("SMPLX_NEUTRAL.npz", "smplx/SMPLX_NEUTRAL.npz")


def __getattr__(name: str) -> Any:
    # They bring torch, which skeletons and files of bodies do without.
    if name in ("BodyMesh", "BodyModel"):
        return getattr(import_module("human3r.body.base"), name)
    raise AttributeError(f"module 'human3r.body' has no attribute {name!r}")


def load_body_model(path: str | Path, device: str = "cpu") -> "BodyModel":
    """The body model of a file in the SMPL-X layout, ready to pose people.

    Args:
        path: an npz file, or a directory with ``SMPLX_NEUTRAL.npz`` or
            ``smplx/SMPLX_NEUTRAL.npz``.
        device: where it computes, for example ``cpu`` or ``cuda:0``.

    Raises:
        BodyModelError: missing, damaged or of another layout; the message names the array.
        DeviceError: the device cannot be used.
    """
    from human3r.body.layout import ARRAY_NAMES, check_arrays
    from human3r.body.npz import read_arrays
    from human3r.body.smplx import SmplxBody

    file = find_body_file(Path(path))
    arrays = check_arrays(read_arrays(file, ARRAY_NAMES), str(file))
    try:
        return SmplxBody(arrays, file.stem.lower(), device)
    except (RuntimeError, AssertionError) as error:  # the latter from builds without CUDA
        raise DeviceError(
            f"device {str(device)!r} cannot hold the body model ({error}); expected cpu, cuda or "
            "cuda:N of this machine. Choose another device."
        ) from error


def find_body_file(path: Path, *, allow_pickle: bool = False) -> Path:
    """The file itself, or the one a directory of body models holds.

    Args:
        path: file or directory.
        allow_pickle: the caller reads pickles as data and runs nothing in them.

    Raises:
        BodyModelError: nothing there, or a pickle.
    """
    file = path
    if path.is_dir():
        found = [path / name for name in _CANDIDATES if (path / name).is_file()]
        if not found:
            raise BodyModelError(
                f"{path}: no body model in this directory; expected {' or '.join(_CANDIDATES)}. "
                "Name the npz file itself, or convert a pickle with `human3r body convert`."
            )
        file = found[0]
    if not file.is_file():
        raise BodyModelError(
            f"{file}: no such file; expected a body model in the SMPL-X layout as npz. "
            "Check the path."
        )
    # An npz of other arrays is answered with the one that is missing, an archive as damaged.
    accepted = ("body", "npz", "people file", *(("pickle",) if allow_pickle else ()))
    refuse_other_kinds(file, accepted, "a body model in the SMPL-X layout as npz", BodyModelError)
    if file.suffix.lower() == ".pkl" and not allow_pickle:
        raise BodyModelError(
            f"{file}: is a pickle, which could run code when loaded; expected npz. "
            "Convert it with `human3r body convert IN.pkl OUT.npz`, which runs nothing in it."
        )
    return file
