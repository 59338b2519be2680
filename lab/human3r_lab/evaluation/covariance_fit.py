"""The covariance model that fits the errors of a network on data with known truth.

A standard deviation here is what 68.3 % of the errors are smaller than, as for a normal
distribution: the promise that the covariance makes. It is found by quantile regression, so it holds
in every circumstance that the features tell apart, and a few absurd errors do not inflate it.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from human3r.errors import InputError
from human3r.tracking.uncertainty import ERRORS, FEATURES, CovarianceModel, SpreadModel
from human3r_lab.evaluation.pose_errors import PoseError

ONE_SIGMA = 0.682689492137
"""Share of a normal distribution within one standard deviation of its mean."""
LEAST_ERRORS = 100
"""Of measured people; fewer say nothing about five numbers."""
_LEAST_ERROR = 1e-4
"""Relative, or rad; smaller ones count as this."""
_BOUND_QUANTILES = (0.02, 0.98)
_SIGNS = {"score": (None, 0.0), "cut": (0.0, None), "hidden": (0.0, None)}
"""Bounds of the weights: a better score, and more of the body in sight, never mean more error."""
_SMOOTHING = 0.05
"""Of the logarithms of errors: 5 %."""
_GROWTH_STEPS_S = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0)
_LEAST_PER_STEP = 10
_EXPONENTS = (0.25, 2.0)


def fit_covariance(seen: Sequence[PoseError], unseen: Sequence[PoseError]) -> CovarianceModel:
    """The model of some errors.

    Args:
        seen: of measured people, with ``hidden`` computed.
        unseen: of people out of sight for a while.

    Raises:
        InputError: too few errors to say anything.
    """
    if len(seen) < LEAST_ERRORS:
        raise InputError(
            f"{len(seen)} people were found in the data; expected at least {LEAST_ERRORS} to fit "
            "the covariance to. Take more sequences, or a better network."
        )
    features = np.array([error.circumstances.features() for error in seen])
    low, high = np.nanquantile(features, _BOUND_QUANTILES, axis=0)
    bounds = np.nan_to_num(np.stack([low, high], axis=1))
    features = np.clip(features, *bounds.T)
    is_known = np.isfinite(features[:, FEATURES.index("hidden")])
    parts = _parts(seen)
    model = CovarianceModel(
        seen=_fit_spread(features[is_known], {n: p[is_known] for n, p in parts.items()}),
        seen_without_hidden=_fit_spread(features, parts, without=("hidden",)),
        bounds=bounds,
        growth=np.tile([0.0, 1.0], (len(ERRORS), 1)),
    )
    return replace(model, growth=_fit_growth(model, unseen))


def _parts(errors: Sequence[PoseError]) -> dict[str, np.ndarray]:
    """(errors, 1 or 2) by ``ERRORS``."""
    parts = [error.parts() for error in errors]
    return {name: np.array([part[name] for part in parts]) for name in ERRORS}


def _fit_spread(
    features: np.ndarray, parts: dict[str, np.ndarray], without: Sequence[str] = ()
) -> SpreadModel:
    used = np.array([name not in without for name in FEATURES])
    constants, weights = np.zeros(len(ERRORS)), np.zeros((len(ERRORS), len(FEATURES)))
    for row, name in enumerate(ERRORS):
        directions = parts[name].shape[1]
        given = np.repeat(features[:, used], directions, axis=0)
        logs = np.log(np.maximum(np.abs(parts[name]).ravel(), _LEAST_ERROR))
        signs = [_SIGNS.get(feature, (None, None)) for feature in np.array(FEATURES)[used]]
        constants[row], weights[row, used] = quantile_regression(given, logs, ONE_SIGMA, signs)
    return SpreadModel(constants, weights)


def quantile_regression(
    features: np.ndarray,
    values: np.ndarray,
    quantile: float,
    weight_bounds: Sequence[tuple[float | None, float | None]],
) -> tuple[float, np.ndarray]:
    """Constant and weights of the linear function that a share of the values lies below.

    Args:
        features: (samples, features).
        values: (samples,).
        quantile: that share.
        weight_bounds: least and largest weight of each feature; None: any.

    Source: Koenker and Bassett 1978, "Regression Quantiles"; smoothed as in Zheng 2011, "Gradient
    descent algorithms for quantile regression with smooth approximation".
    """
    centre, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    design = np.column_stack([np.ones(len(values)), (features - centre) / spread])

    def loss(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
        residuals = values - design @ coefficients
        scaled = residuals / _SMOOTHING
        smooth = quantile * residuals + _SMOOTHING * np.logaddexp(0.0, -scaled)
        slope = quantile - expit(-scaled)
        return float(smooth.mean()), -design.T @ slope / len(values)

    start = np.zeros(design.shape[1])
    start[0] = np.quantile(values, quantile)
    bounds = [(None, None), *weight_bounds]
    weights = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x[1:] / spread
    # Smoothing moves the level a little: put it where it belongs.
    return float(np.quantile(values - features @ weights, quantile)), weights


def _fit_growth(model: CovarianceModel, unseen: Sequence[PoseError]) -> np.ndarray:
    """(errors, 2) factor and exponent of what absence adds, in quadrature."""
    growth = np.tile([0.0, 1.0], (len(ERRORS), 1))
    if not unseen:
        return growth
    times_s = np.array([error.circumstances.unseen_s for error in unseen])
    measured = np.array(
        [model.stddev(replace(error.circumstances, unseen_s=0.0)) for error in unseen]
    )
    parts = _parts(unseen)
    for row, name in enumerate(ERRORS):
        points = []
        for first_s, last_s in pairwise(_GROWTH_STEPS_S):
            chosen = (times_s > first_s) & (times_s <= last_s)
            if chosen.sum() >= _LEAST_PER_STEP:
                added = added_stddev(parts[name][chosen], measured[chosen, row])
                points.append((times_s[chosen].mean(), added, chosen.sum()))
        growth[row] = _power_law(np.array(points).reshape(-1, 3))
    return growth


def added_stddev(errors: np.ndarray, measured: np.ndarray) -> float:
    """What must be added in quadrature so that 68.3 % of errors lie inside; 0 where none must.

    Args:
        errors: (samples, directions).
        measured: (samples,) standard deviations without the addition.
    """
    excess = errors**2 - measured[:, None] ** 2
    return float(np.sqrt(max(np.quantile(excess, ONE_SIGMA), 0.0)))


def _power_law(points: np.ndarray) -> np.ndarray:
    """Factor and exponent through (time, size, weight), all sizes positive ones counting."""
    points = points[points[:, 1] > _LEAST_ERROR]
    if not len(points):
        return np.array([0.0, 1.0])
    logs, weights = np.log(points[:, :2]), points[:, 2]
    exponent = 1.0
    if len(points) > 1:
        centred = logs - np.average(logs, axis=0, weights=weights)
        exponent = (weights * centred.prod(axis=1)).sum() / (weights * centred[:, 0] ** 2).sum()
    exponent = float(np.clip(exponent, *_EXPONENTS))
    level = np.average(logs[:, 1] - exponent * logs[:, 0], weights=weights)
    return np.array([np.exp(level), exponent])
