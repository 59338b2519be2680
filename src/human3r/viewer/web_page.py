"""A page around a ``WebScene``: table of people, layers, screenshot, following the camera.

Recordings and live streams have the same page; what time is to them, each adds itself.
"""

import html
from collections import deque
from collections.abc import Sequence

import numpy as np
import viser

from human3r.viewer.colors import person_color
from human3r.viewer.web_frames import (
    CAMERA_COLUMNS,
    COLUMNS,
    LAYERS,
    SceneCamera,
    SceneFrame,
    ScenePerson,
)
from human3r.viewer.web_scene import WebScene, camera_view

_EYE_BEHIND_M = 0.8
"""Following the camera, the eye is a little behind it, so that its frustum is not in the way."""
_SAME_PLACE_M = 1e-3
_UP = np.array([0.0, 0.0, 1.0])
_STYLE = (
    "<style>.h3r{width:100%;border-collapse:collapse;font-size:0.8em;text-align:right;"
    "white-space:nowrap}"
    ".h3r th{opacity:.6;font-weight:normal}.h3r td,.h3r th{padding:2px 4px}"
    ".h3r tr>:first-child{text-align:left}.h3r i{display:inline-block;width:.8em;height:.8em;"
    "border-radius:50%;margin-right:.4em;vertical-align:-.05em}"
    ".h3r-note{font-size:0.8em;margin:.4em .3em;color:#ffc454}</style>"
)
_AWAKE = "setInterval(()=>{if(!document.querySelector('canvas'))location.reload()},2000)"
"""Loads a page again that has gone blank. That of viser 1.1.1 does where its connection was lost
while a skinned mesh was in it, as soon as it has one again."""


class WebPage:
    """Draws frames and says what is in them; every browser has the same controls.

    Attributes:
        scene: what is drawn.
    """

    def __init__(
        self, server: viser.ViserServer, scene: WebScene, name: str, without: Sequence[str] = ()
    ) -> None:
        """The controls below those that were added before.

        Args:
            server: of the scene.
            scene: where frames are shown.
            name: of what is shown, for screenshots.
            without: layers that stay empty here, and need no switch.
        """
        self.scene = scene
        self._server, self._name = server, name
        self._frame: SceneFrame | None = None
        gui = server.gui
        gui.configure_theme(dark_mode=True, control_width="medium", show_logo=False)
        self._follow = gui.add_checkbox("follow camera", False)
        self._follow.on_update(lambda _: self._look_along())
        self._panel = Panel(server, "People", ("id", *COLUMNS), "no person in this frame")
        self._cameras = Panel(server, "Cameras", ("camera", *CAMERA_COLUMNS), "")
        self._add_layer_switches(without)
        self._add_screenshot()
        # A script by itself is not run where markup is put in later; that of a failed image is.
        gui.add_html(f'<img src="data:," style="display:none" onerror="{_AWAKE}">')

    def show(self, frame: SceneFrame) -> None:
        """Show a moment."""
        self._frame = frame
        self.scene.show(frame)
        self._panel.show([_row(p) for p in sorted(frame.people, key=lambda p: p.track_id)])
        named = [camera for camera in frame.cameras if camera.name]
        troubles = [camera.trouble for camera in named if camera.trouble]
        self._cameras.show([_camera_row(camera) for camera in named], troubles)
        self._look_along()

    def _look_along(self) -> None:
        if self._frame is None or not self._follow.value:
            return
        view = camera_view(self._frame.page_from_camera, _EYE_BEHIND_M)
        for client in self._server.get_clients().values():
            _turn(client, *view)

    def _add_layer_switches(self, without: Sequence[str]) -> None:
        with self._server.gui.add_folder("Layers"):
            for name, is_shown in LAYERS.items():
                if name in without:
                    continue
                box = self._server.gui.add_checkbox(name, is_shown)

                @box.on_update
                def _(event: viser.GuiEvent, name: str = name) -> None:
                    self.scene.layers[name].visible = event.target.value

    def _add_screenshot(self) -> None:
        button = self._server.gui.add_button("screenshot")

        @button.on_click
        def _(event: viser.GuiEvent) -> None:
            import cv2

            client = event.client
            if client is None:
                return
            camera = client.camera
            image = client.get_render(camera.image_height, camera.image_width)
            done, data = cv2.imencode(".png", np.ascontiguousarray(image[..., [2, 1, 0]]))
            if done:
                client.send_file_download(f"human3r_{self._name}.png", data.tobytes())


class Panel:
    """A table with a row per person, or per camera."""

    def __init__(
        self, server: viser.ViserServer, title: str, columns: Sequence[str], empty: str
    ) -> None:
        """Without rows.

        Args:
            server: of the page.
            title: of the table.
            columns: their names.
            empty: what is said where there is no row; empty: nothing at all is to be seen then.
        """
        head = "".join(f"<th>{name}</th>" for name in columns)
        self._head = f"{_STYLE}<table class='h3r'><tr>{head}</tr>"
        self._empty = f"{_STYLE}{empty}" if empty else ""
        self.shown = ""
        self._folder = server.gui.add_folder(title, visible=bool(empty))
        with self._folder:
            self._text = server.gui.add_html("")

    def show(self, rows: Sequence[str], notes: Sequence[str] = ()) -> None:
        """Replace the rows, and the sentences below them."""
        below = "".join(f"<p class='h3r-note'>{html.escape(note)}</p>" for note in notes)
        text = f"{self._head}{''.join(rows)}</table>{below}" if rows else self._empty
        if text != self.shown:
            self.shown = text
            self._text.content = text
            self._folder.visible = bool(text)


def _row(person: ScenePerson) -> str:
    dot = f"<i style='background:rgb{person_color(person.track_id)}'></i>"
    return _cells(f"{dot}{person.track_id}", person.facts)


def _camera_row(camera: SceneCamera) -> str:
    return _cells(html.escape(camera.name), camera.facts)


def _cells(first: str, facts: Sequence[str]) -> str:
    cells = "".join(f"<td>{html.escape(fact)}</td>" for fact in facts)
    return f"<tr><td>{first}</td>{cells}</tr>"


class StartView:
    """Where browsers look from at first, and at what.

    A browser shows what it was told last before its first picture; while it draws that, it is not
    yet among the clients of the server. So one that comes from a view that has been replaced since
    is turned when it reports, as those are that look already.
    """

    def __init__(self, server: viser.ViserServer) -> None:
        """The view that the server has by itself."""
        self._server = server
        self._view = server.initial_camera.position, server.initial_camera.look_at
        self._replaced: deque[np.ndarray] = deque(maxlen=8)
        server.on_client_connect(self._welcome)

    def set(self, eye: np.ndarray, target: np.ndarray) -> None:
        """Look from ``eye`` at ``target``, both (3,) in the axes of the page, z up."""
        self._replaced.append(self._view[0])
        self._view = eye, target
        camera = self._server.initial_camera
        camera.position, camera.look_at = tuple(eye.tolist()), tuple(target.tolist())
        camera.up = tuple(_UP.tolist())
        # Last: who is not among them now is welcomed later.
        for client in self._server.get_clients().values():
            _turn(client, *self._view, _UP)

    def _welcome(self, client: viser.ClientHandle) -> None:
        place = client.camera.position
        if any(np.allclose(place, eye, atol=_SAME_PLACE_M) for eye in tuple(self._replaced)):
            _turn(client, *self._view, _UP)


def _turn(
    client: viser.ClientHandle, position: np.ndarray, look_at: np.ndarray, up: np.ndarray
) -> None:
    with client.atomic():
        client.camera.up_direction = up
        client.camera.position, client.camera.look_at = position, look_at
