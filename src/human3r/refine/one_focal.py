"""One focal length for a whole recording, where the stream estimated it anew in every frame.

A lens that is estimated anew has not zoomed. Left as they are, focal lengths that breathe by two
percent push scene and people to and fro by as much, and a place that is seen again seems to be
reached from elsewhere: at four metres, eight centimetres off.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from human3r.refine.recording import Recording, Track, View

_SAME = 1e-6


@dataclass(frozen=True)
class OneFocal:
    """From the focal length of each frame to that of all."""

    ratio: Float[np.ndarray, " frames"]
    """Of the one over that of the frame; all 1 where it was constant, as a calibrated one is."""
    depth_follows: bool
    """Depth was learnt over the focal length, and grows with it; otherwise directions change."""

    @property
    def is_needed(self) -> bool:
        """Some frame has another one."""
        return bool(np.abs(self.ratio - 1).max(initial=0) > _SAME)

    def camera(self, camera: Float[np.ndarray, "3 3"], frame: int) -> Float[np.ndarray, "3 3"]:
        """A frame's pinhole matrix with the one focal length."""
        result = camera.copy()
        result[[0, 1], [0, 1]] *= self.ratio[frame]
        return result

    def recording(self, recording: Recording) -> Recording:
        """Everything along the rays of one camera."""
        if not self.is_needed:
            return recording
        tracks = tuple(self._track(track) for track in recording.tracks)

        def view(frame: int) -> View | None:
            seen = recording.view(frame)
            if seen is None:
                return None
            depth = seen.depth * self.ratio[frame] if self.depth_follows else seen.depth
            return replace(seen, depth=depth, camera=self.camera(seen.camera, frame))

        return replace(recording, tracks=tracks, view=view)

    def _track(self, track: Track) -> Track:
        """Bodies moved as a whole, so that their pelvises stay where images show them."""
        ratio = self.ratio[track.frames]
        if self.depth_follows:
            stretch = np.stack([np.ones_like(ratio), np.ones_like(ratio), ratio], axis=1)
        else:
            stretch = np.stack([1 / ratio, 1 / ratio, np.ones_like(ratio)], axis=1)
        shift = track.joints[:, :1] * (stretch - 1)[:, None]
        return replace(track, joints=track.joints + shift, points=track.points + shift)


def one_focal(focal_px: Float[np.ndarray, " frames"], depth_follows: bool) -> OneFocal:
    """The median of a recording for all frames.

    Args:
        focal_px: of every frame; 0 or NaN where unknown.
        depth_follows: see ``OneFocal``.
    """
    is_known = np.isfinite(focal_px) & (focal_px > 0)
    ratio = np.ones(len(focal_px))
    if is_known.any():
        ratio[is_known] = np.median(focal_px[is_known]) / focal_px[is_known]
    return OneFocal(ratio, depth_follows)
