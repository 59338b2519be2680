"""The next frame's encoders beside the present frame's recurrent part."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext

import torch

from human3r.streaming.session import Prepared
from human3r.types import Frame


def look_ahead(
    frames: Iterable[Frame], prepare: Callable[[Frame], Prepared], device: torch.device
) -> Iterator[tuple[Frame, Prepared]]:
    """Every frame, prepared by a thread while its predecessor is in use.

    Close it when leaving early: that waits for the thread.

    Args:
        frames: asked for a frame before its predecessor is handed out.
        prepare: ``StreamSession.prepare``, or what calls it.
        device: the network's. On a CUDA device the thread has a stream of its own; that has not
            been run on one yet.

    Raises:
        Exception: whatever ``frames`` or ``prepare`` raises, in the frame's turn.
    """
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def ahead(frame: Frame) -> Prepared:
        with torch.cuda.stream(stream) if stream is not None else nullcontext():
            return prepare(frame)

    with ThreadPoolExecutor(1, "human3r-ahead") as pool:
        before: tuple[Frame, Future[Prepared]] | None = None
        for coming in _with_error_last(frames):
            is_frame = isinstance(coming, Frame)
            now = (coming, pool.submit(ahead, coming)) if is_frame else None
            if before is not None:
                frame, prepared = before[0], before[1].result()
                if stream is not None:
                    _hand_over(prepared, stream)
                yield frame, prepared
            if isinstance(coming, Exception):
                raise coming
            before = now


def _with_error_last(frames: Iterable[Frame]) -> Iterator[Frame | Exception | None]:
    """The frames, then the error that ended them, or None."""
    try:
        yield from frames
    except Exception as error:
        yield error
    else:
        yield None


def _hand_over(prepared: Prepared, stream: torch.cuda.Stream) -> None:
    """Let the present stream wait for the tensors, and their memory wait for the present stream."""
    present = torch.cuda.current_stream(stream.device)
    present.wait_stream(stream)
    encoded = prepared.encoded
    tokens = () if encoded is None else (encoded.patches, encoded.appearance)
    for tensor in (*tokens, prepared.image):
        if isinstance(tensor, torch.Tensor):
            tensor.record_stream(present)
