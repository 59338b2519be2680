"""A real browser without a screen, and what can be asked about a page in it."""

import io
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from human3r.viewer.colors import person_color

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    *("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync",),
)
PATIENCE_MS = 120_000
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: apt-get install chromium"
)


@contextmanager
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


def opened(chromium, address: str):
    """A page at an address, and the list that its errors go into."""
    page, errors = chromium.new_page(viewport={"width": 480, "height": 320}), []
    page.set_default_timeout(PATIENCE_MS)
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    # It says that graphics are drawn in software, and covers half of so small a page.
    page.add_style_tag(content=".mantine-Notifications-root { display: none }")
    return page, errors


def center_of(page, track_id: int, share: float = 1.0) -> np.ndarray | None:
    """Where the picture has the colour of a person: mean pixel (2,), None where it has none.

    Only the left ``share`` of the picture counts: the panel has the colours too.
    """
    return center_of_color(page, person_color(track_id), share)


def center_of_color(page, rgb: tuple[int, int, int], share: float = 1.0) -> np.ndarray | None:
    """The same for a colour that is not too pale and not too dark."""
    picture = Image.open(io.BytesIO(page.locator("canvas").first.screenshot(timeout=PATIENCE_MS)))
    pixels = np.asarray(picture.convert("HSV")).astype(int)
    pixels = pixels[:, : round(share * pixels.shape[1])]
    color = Image.new("RGB", (1, 1), rgb).convert("HSV").getpixel((0, 0))
    off = np.abs((pixels[..., 0] - color[0] + 128) % 256 - 128)
    rows, columns = np.nonzero((off < 6) & (pixels[..., 1] > 90) & (pixels[..., 2] > 60))
    return None if len(rows) < 30 else np.array([columns.mean(), rows.mean()])


def wait_for(look, page, until_ms: int = PATIENCE_MS):
    """The first answer of ``look`` that says something."""
    for _ in range(until_ms // 500):
        if (answer := look()) is not None:
            return answer
        page.wait_for_timeout(500)
    raise AssertionError("nothing to be seen")
