"""Time beside a ``WebPage``: slider, play and speed of a recording."""

import threading
import time
from typing import Protocol

import numpy as np
import viser

from human3r.viewer.web_frames import SceneFrame
from human3r.viewer.web_page import WebPage
from human3r.viewer.web_scene import WebScene

SPEEDS = ("0.25x", "0.5x", "1x", "2x", "4x")
_IDLE_S = 0.05


class Frames(Protocol):
    """Frames by number, from 0."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> SceneFrame: ...


class WebPlayer:
    """Plays frames into a page; every browser has the controls.

    Attributes:
        number: of the frame that is shown.
    """

    def __init__(
        self, server: viser.ViserServer, scene: WebScene, frames: Frames, times_s: np.ndarray
    ) -> None:
        """Show the first frame and add the controls.

        Args:
            server: of the scene.
            scene: where frames are shown.
            frames: to show.
            times_s: of the frames, increasing.
        """
        self.number = -1
        self._frames, self._times_s = frames, times_s
        self._lock = threading.Lock()
        gui = server.gui
        self._playing = gui.add_checkbox("play", len(frames) > 1)
        last = max(1, len(frames) - 1)
        self._slider = gui.add_slider("frame", min=0, max=last, step=1, initial_value=0)
        self._clock = gui.add_text("time", "0.00 s", disabled=True)
        self._speed = gui.add_dropdown("speed", SPEEDS, initial_value="1x")
        self._page = WebPage(server, scene, "recording", without=("people in the cloud",))
        self._slider.on_update(lambda _: self.show(int(self._slider.value)))
        self.show(0)

    def show(self, number: int) -> None:
        """Show a frame, and say in the controls which it is."""
        number = min(max(number, 0), len(self._frames) - 1)
        with self._lock:
            if number == self.number:
                return
            self.number = number
            self._page.show(self._frames[number])
            self._clock.value = f"{self._times_s[number]:.2f} s"

    def run(self, stop: threading.Event) -> None:
        """Play until ``stop`` is set."""
        shown_at_s = time.monotonic()
        while not stop.is_set():
            if not self._playing.value or len(self._frames) < 2:
                stop.wait(_IDLE_S)
                shown_at_s = time.monotonic()
                continue
            after = (self.number + 1) % len(self._frames)
            pause_s = self._pause_s(after) / float(self._speed.value.rstrip("x"))
            # From when the last was due: what drawing takes does not slow the film down.
            shown_at_s = max(shown_at_s + pause_s, time.monotonic() - pause_s)
            stop.wait(max(0.0, shown_at_s - time.monotonic()))
            if self._playing.value and not stop.is_set():
                self._slider.value = after

    def _pause_s(self, after: int) -> float:
        """How long the frame before ``after`` is shown."""
        if after == 0:
            return float(np.median(np.diff(self._times_s)))
        return float(self._times_s[after] - self._times_s[after - 1])
