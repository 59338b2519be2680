"""The covariance model of a network, in a small file beside its weights.

``NAME.safetensors`` has its model in ``NAME.covariance.json``, which names the weights' SHA-256:
for other weights nothing is known, and nothing is claimed.
"""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from human3r.atomic import whole_file
from human3r.errors import InputError
from human3r.tracking.uncertainty import ERRORS, FEATURES, CovarianceModel, SpreadModel

log = logging.getLogger(__name__)

FORMAT = "human3r-covariance-1"
_MAX_BYTES = 100_000


def covariance_path(weights: str | Path) -> Path:
    """Where the covariance model of a weights file belongs."""
    return Path(weights).with_suffix(".covariance.json")


def write_covariance(
    path: Path, model: CovarianceModel, weights_sha256: str, made_from: Mapping[str, Any]
) -> None:
    """Write a model whole or not at all.

    Args:
        path: of the file.
        model: what was found out.
        weights_sha256: of the network it was found out about.
        made_from: what names the data.

    Raises:
        OutputError: not writable.
    """
    content = {
        "format": FORMAT,
        "weights_sha256": weights_sha256,
        "made_from": dict(made_from),
        **_model_to_json(model),
    }
    with whole_file(path) as file:
        file.write((json.dumps(content, indent=1, allow_nan=False) + "\n").encode("utf-8"))


def read_covariance(path: Path) -> tuple[CovarianceModel, str]:
    """A model, and the SHA-256 of the weights it belongs to.

    Raises:
        InputError: missing, damaged, or another file.
    """
    advice = "Write it again with tools/calibrate_covariance.py, or delete it."
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path}: more than {_MAX_BYTES} bytes; expected less. {advice}")
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"format {str(content['format'])[:40]!r}, expected {FORMAT!r}")
        return _model_from_json(content), str(content["weights_sha256"])
    except InputError:
        raise
    except (OSError, RecursionError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: no readable covariance model ({type(error).__name__}: {error}); expected one "
            f"of format {FORMAT}. {advice}"
        ) from error


def find_covariance(
    weights: str | Path, sha256_of: Callable[[Path], str]
) -> CovarianceModel | None:
    """The model beside a weights file; None, and a warning, where there is none that fits.

    Args:
        weights: file of the network in use; empty when there is none.
        sha256_of: gives the hash of a file; asked only where there is a model.
    """
    path = covariance_path(weights) if str(weights) else None
    if path is None or not path.is_file():
        return None
    try:
        model, expected = read_covariance(path)
    except InputError as error:
        log.warning("%s The covariance of people is unknown until then.", error)
        return None
    seen = sha256_of(Path(weights))
    if seen != expected:
        log.warning(
            "%s belongs to weights with SHA-256 %s, but %s has %s: the covariance of people is "
            "unknown. Calibrate it with tools/calibrate_covariance.py.",
            *(path, expected[:12], Path(weights).name, seen[:12]),
        )
        return None
    return model


def _model_from_json(content: Mapping) -> CovarianceModel:
    def numbers(values: object, shape: tuple[int, ...]) -> np.ndarray:
        array = np.array(values, np.float64)
        if array.shape != shape or not np.isfinite(array).all():
            raise ValueError(f"shape {array.shape}; expected finite numbers of shape {shape}")
        return array

    def spread(part: Mapping) -> SpreadModel:
        return SpreadModel(
            numbers([part[name]["constant"] for name in ERRORS], (4,)),
            numbers([[part[name][f] for f in FEATURES] for name in ERRORS], (4, 4)),
        )

    return CovarianceModel(
        seen=spread(content["seen"]),
        seen_without_hidden=spread(content["seen_without_hidden"]),
        bounds=numbers([content["bounds"][name] for name in FEATURES], (4, 2)),
        growth=numbers([content["growth"][name] for name in ERRORS], (4, 2)),
    )


def _model_to_json(model: CovarianceModel) -> dict:
    def spread(part: SpreadModel) -> dict:
        return {
            name: {"constant": constant, **dict(zip(FEATURES, weights, strict=True))}
            for name, constant, weights in zip(
                ERRORS, part.constants.tolist(), part.weights.tolist(), strict=True
            )
        }

    return {
        "seen": spread(model.seen),
        "seen_without_hidden": spread(model.seen_without_hidden),
        "bounds": dict(zip(FEATURES, model.bounds.tolist(), strict=True)),
        "growth": dict(zip(ERRORS, model.growth.tolist(), strict=True)),
    }
