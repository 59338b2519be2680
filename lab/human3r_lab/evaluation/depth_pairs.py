"""Predicted and true depth of a whole sequence, in flat memory."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from human3r.atomic import output_errors

CHUNK_PIXELS = 4_194_304
_IN_MEMORY_BYTES = 67_108_864
_BYTES_PER_PAIR = 8


class DepthPairs:
    """Every valid pixel's predicted and true depth, float32 metres.

    Aligning a sequence takes several passes over all its pixels: they wait in memory while they
    are few, and in a temporary file beyond that. Use it as a context manager.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115
        self._count = 0

    def __enter__(self) -> "DepthPairs":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self._count

    def add(self, predicted_m: np.ndarray, true_m: np.ndarray) -> None:
        """One more image's valid pixels, two arrays of one shape.

        Raises:
            OutputError: the disk of temporary files is full.
        """
        pairs = np.stack([np.ravel(predicted_m), np.ravel(true_m)], axis=-1).astype("<f4")
        with output_errors(Path(tempfile.gettempdir())):
            self._file.write(pairs.tobytes())
        self._count += len(pairs)

    def chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Predicted and true depth (pixels,) float32 of a few million pixels at a time."""
        for start in range(0, self._count, CHUNK_PIXELS):
            self._file.seek(start * _BYTES_PER_PAIR)
            data = self._file.read(CHUNK_PIXELS * _BYTES_PER_PAIR)
            pairs = np.frombuffer(data, "<f4").reshape(-1, 2)
            yield np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])
        self._file.seek(self._count * _BYTES_PER_PAIR)

    def close(self) -> None:
        """Forget the pixels."""
        self._file.close()
