"""Fits the covariance of people's poses to the errors of a network on synthetic sequences.

Run it whenever the weights change, a few minutes on a CPU:

    human3r synth DATA --split val --seed 1000 --sequences 60 --frames 24
    python tools/calibrate_covariance.py DATA --weights F

It writes F with the ending .covariance.json, which human3r reads with the weights. Every second
sequence is first left out and predicted from the others: that is what the table shows.
"""

import argparse
import logging
from pathlib import Path

import numpy as np
from human3r_lab.datasets import open_folder
from human3r_lab.evaluation.covariance_fit import fit_covariance
from human3r_lab.evaluation.covariance_samples import pose_errors_of
from human3r_lab.evaluation.pose_errors import PoseError
from human3r_lab.evaluation.synthetic_sequences import filed_sequences
from human3r_lab.evaluation.truth import FreeBodyScheme

from human3r import __version__
from human3r.body.default import default_body_path
from human3r.config import Settings
from human3r.errors import Human3RError, InputError
from human3r.model.default import default_weights_path
from human3r.model.weights_file import sha256_of
from human3r.pipeline import Pipeline
from human3r.tracking.covariance_file import covariance_path, write_covariance
from human3r.tracking.uncertainty import ERRORS, CovarianceModel

SPLIT = "val"

Errors = tuple[list[PoseError], list[PoseError]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder of `human3r synth --split val`")
    parser.add_argument("--weights", default="", help="default: those that come with human3r")
    parser.add_argument("--body-model", default="", help="default: the free body")
    parser.add_argument("--out", type=Path, help="default: beside the weights")
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    try:
        calibrate(options)
    except Human3RError as error:
        parser.exit(1, f"{error}\n")


def calibrate(options: argparse.Namespace) -> None:
    """The whole way from the data to the file."""
    check_split(options.data)
    settings = Settings().replace(
        {
            "model.weights": options.weights or str(default_weights_path()),
            "model.body_model": options.body_model or str(default_body_path()),
        }
    )
    pipeline = Pipeline.from_settings(settings)
    weights = Path(pipeline.settings.model.weights)
    found = gather(options.data, pipeline)
    seen, unseen = joined(found)
    print(f"{len(seen)} poses of measured people, {len(unseen)} of people out of sight")
    show_cross_check(found)
    model = fit_covariance(seen, unseen)
    show(model)
    path = options.out or covariance_path(weights)
    write_covariance(
        path,
        model,
        sha256_of(weights),
        {
            "version": __version__,
            "weights": weights.name,
            "data": f"human3r synth, split {SPLIT}",
            "sequences": len(found),
            "seen": len(seen),
            "unseen": len(unseen),
        },
    )
    print(path)


def check_split(folder: Path) -> None:
    """Nothing, when all sequences are of the validation split.

    Raises:
        InputError: others are there: the test split stays held out, on the training split a
            network is better than elsewhere.
    """
    splits = {str(file.metadata.get("split")) for file in open_folder(folder)}
    if splits != {SPLIT}:
        raise InputError(
            f"{folder}: sequences of the splits {', '.join(sorted(splits))}; expected {SPLIT} "
            f"only. Make a folder with `human3r synth {folder} --split {SPLIT}`."
        )


def gather(folder: Path, pipeline: Pipeline) -> list[Errors]:
    """Errors of every sequence."""
    scheme = FreeBodyScheme(pipeline.body_model)
    sequences = filed_sequences(folder, scheme, body=pipeline.body_model.name)
    found = []
    for number, sequence in enumerate(sequences, 1):
        found.append(pose_errors_of(sequence, pipeline, scheme))
        if number % 10 == 0 or number == len(sequences):
            print(f"{number} of {len(sequences)} sequences", flush=True)
    return found


def joined(found: list[Errors]) -> Errors:
    """The errors of several sequences as one."""
    return [e for seen, _ in found for e in seen], [e for _, unseen in found for e in unseen]


def show_cross_check(found: list[Errors]) -> None:
    """Coverage of each half of the sequences by the model of the other half."""
    sizes: dict[tuple[str, str], list[np.ndarray]] = {}
    for part in (0, 1):
        model = fit_covariance(*joined(found[1 - part :: 2]))
        for state, errors in zip(("seen", "unseen"), joined(found[part::2]), strict=True):
            for error in errors:
                for name, values in error.in_stddev(error.modelled(model)).items():
                    sizes.setdefault((state, name), []).append(np.abs(values))
    print("share of errors inside one and two sigma (wanted 0.683 and 0.954), not fitted to:")
    for (state, name), parts in sizes.items():
        flat = np.concatenate(parts)
        print(f"  {state:7}{name:7}{(flat <= 1).mean():7.3f}{(flat <= 2).mean():7.3f}")


def show(model: CovarianceModel) -> None:
    """The model in words."""
    middle = np.exp(model.bounds[0].mean())
    features = np.append(np.log(middle), model.bounds[1:].mean(axis=1))
    for name, stddev, (factor, exponent) in zip(
        ERRORS, model.seen.stddev(features), model.growth, strict=True
    ):
        unit = "of the distance" if name in ERRORS[:2] else "rad"
        grown = f"unseen + {factor:.3f} t^{exponent:.2f}"
        print(f"{name:7} {stddev:.3f} {unit} at {middle:.1f} m; {grown}")


if __name__ == "__main__":
    main()
