"""How well the running average does on sequences it does not learn from."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from human3r.body import BodyModel, load_body_model
from human3r.config import Settings
from human3r.errors import NonFiniteError
from human3r.geometry import invert
from human3r.model.hollow import hollow
from human3r.model.network import Human3R
from human3r.streaming.session import StreamSession
from human3r.types import Frame, FrameEstimate
from human3r_lab.datasets import SequenceFile, ViewTruth
from human3r_lab.training.augmentation import crop_view, whole_image
from human3r_lab.training.batches import Augmentation, BatchMaker, Plan, targets_of
from human3r_lab.training.body_points import BodyPoints
from human3r_lab.training.forward import ForwardOptions, forward
from human3r_lab.training.losses import LossWeights, compute_losses
from human3r_lab.training.pictures import PicturedView, write_picture
from human3r_lab.training.targets import ViewTargets

_SEQUENCES = 8
_VIEWS = 6
_BATCHES, _WINDOWS = 8, 4
"""Batches for the losses, whatever the training's size, and windows of each."""
_PICTURES = 4
_BODY_JOINTS = 22
_MATCH_TOKENS = 1.5
"""A head found within so many tokens of a true one is that head."""
_TOKEN_PX = 14


class Validator:
    """Measures weights on held-out sequences, as a stream like in use, and draws some views.

    Args:
        sequences: held out.
        plan: of the training.
        body: body model file of the data.
        folder: where pictures go, under ``validation``.
        loss: weights of the losses.
    """

    def __init__(
        self,
        sequences: list[SequenceFile],
        plan: Plan,
        body: Path,
        folder: Path,
        loss: LossWeights | None = None,
    ) -> None:
        step = max(1, len(sequences) // _SEQUENCES)
        self._sequences = sequences[::step][:_SEQUENCES]
        self._folder = folder / "validation"
        size = plan.augmentation.sizes_px[0]
        plain = Augmentation(sizes_px=(size,), margin_px=0, color=0.0, hue=0.0)
        self._plan = dataclasses.replace(plan, augmentation=plain, seed=1, batch=_WINDOWS)
        self._loss = loss or LossWeights()
        paths = [file.path for file in sequences]
        self._batches = BatchMaker(paths, [len(file) for file in sequences], self._plan)
        self._body_path = body
        self._bodies: tuple[BodyModel, BodyPoints] | None = None

    @torch.no_grad()
    def __call__(
        self, weights: Mapping[str, Tensor], device: torch.device, step: int
    ) -> dict[str, float]:
        """Numbers by name; a picture is left in the folder.

        Args:
            weights: every parameter and buffer.
            device: where to compute.
            step: of the training, for the picture's name.
        """
        if self._bodies is None:
            self._bodies = (
                load_body_model(self._body_path, str(device)),
                BodyPoints(self._body_path, device),
            )
        with hollow():
            network = Human3R(self._plan.config)
        network.load_state_dict(weights, strict=False, assign=True)
        network.requires_grad_(False).eval()
        return {**self._losses(network), **self._stream(network, step)}

    def _losses(self, network: Human3R) -> dict[str, float]:
        assert self._bodies is not None
        sums: dict[str, float] = {}
        for number in range(_BATCHES):
            batch = self._batches(number).to(network.device)
            predicted = forward(network, batch, ForwardOptions())
            loss, terms = compute_losses(predicted, batch, self._bodies[1], self._loss)
            for name, value in {"loss": loss, **terms}.items():
                sums[name] = sums.get(name, 0.0) + float(value) / _BATCHES
        return sums

    def _stream(self, network: Human3R, step: int) -> dict[str, float]:
        assert self._bodies is not None
        tally = _Tally()
        pictured: list[PicturedView] = []
        for file in self._sequences:
            session = StreamSession(network, self._bodies[0], Settings())
            numbers = np.linspace(0, len(file) - 1, min(_VIEWS, len(file))).astype(int)
            first = None
            for i, number in enumerate(numbers):
                view = file.view(int(number))
                first = first if first is not None else view
                try:
                    estimate = session.push(Frame(view.image, i * 10**8))
                except NonFiniteError:
                    tally.failed += 1
                    break
                targets = targets_of(crop_view(view, whole_image(estimate.geometry)), self._plan)
                joints = _true_joints(targets, self._bodies[1])
                tally.add(view, first, estimate, targets, joints)
            else:
                if len(pictured) < _PICTURES:
                    pictured.append(PicturedView(view, estimate, joints))
        if pictured:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"step-{step:08d}.jpg"
            write_picture(path, pictured, self._bodies[0].faces)
        return tally.result()


def _true_joints(targets: ViewTargets, body: BodyPoints) -> np.ndarray:
    device = body.device
    joints, _ = body(
        *(
            torch.from_numpy(getattr(targets, name)).to(device)
            for name in ("rotations", "betas", "expression", "head_camera")
        )
    )
    return joints.cpu().numpy()


class _Tally:
    """Sums over views."""

    def __init__(self) -> None:
        self.failed = 0
        self._true = self._found = self._matched = 0
        self._joints_m: list[float] = []
        self._root: list[float] = []
        self._depth: list[float] = []
        self._camera_m: list[float] = []

    def add(
        self,
        view: ViewTruth,
        first: ViewTruth,
        estimate: FrameEstimate,
        targets: ViewTargets,
        joints: np.ndarray,
    ) -> None:
        """Count one view in."""
        self._true += len(joints)
        self._found += len(estimate.people)
        for person, truth in _matches(estimate, targets):
            guess, true = estimate.people[person].joints_camera, joints[truth]
            self._matched += 1
            body, true_body = guess[:_BODY_JOINTS] - guess[0], true[:_BODY_JOINTS] - true[0]
            self._joints_m.append(float(np.linalg.norm(body - true_body, axis=1).mean()))
            distance = float(np.linalg.norm(true[0]))
            self._root.append(float(np.linalg.norm(guess[0] - true[0])) / distance)
        valid = targets.depth_m > 0
        error = np.abs(estimate.depth[valid] - targets.depth_m[valid]) / targets.depth_m[valid]
        if valid.any():
            self._depth.append(float(error.mean()))
        moved = invert(first.world_from_camera) @ view.world_from_camera
        self._camera_m.append(
            float(np.linalg.norm(moved[:3, 3] - estimate.world_from_camera[:3, 3]))
        )

    def result(self) -> dict[str, float]:
        """Everything that could be measured."""
        measured = {
            "precision": self._matched / max(1, self._found),
            "recall": self._matched / max(1, self._true),
            "mpjpe_mm": 1000 * _mean(self._joints_m),
            "root_share": _mean(self._root),
            "depth_abs_rel": _mean(self._depth),
            "camera_m": _mean(self._camera_m),
            "failed": float(self.failed),
        }
        return {name: value for name, value in measured.items() if np.isfinite(value)}


def _matches(estimate: FrameEstimate, targets: ViewTargets) -> list[tuple[int, int]]:
    """Pairs of found and true people whose heads lie close together, the closest first."""
    if not estimate.people or not len(targets.head_camera):
        return []
    fx, fy, cx, cy = targets.camera
    heads = targets.head_camera
    truth = heads[:, :2] / heads[:, 2:] * (fx, fy) + (cx, cy)
    found = np.stack([person.head_px for person in estimate.people])
    found = estimate.geometry.network_from_source(found)
    away = np.linalg.norm(found[:, None] - truth[None], axis=-1)
    limit = _MATCH_TOKENS * _TOKEN_PX
    pairs = []
    for place in np.argsort(away, axis=None, kind="stable"):
        person, true = np.unravel_index(place, away.shape)
        if away[person, true] <= limit:
            pairs.append((int(person), int(true)))
            away[person], away[:, true] = np.inf, np.inf
    return pairs


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
