"""One page that opens from disk without a server: viser's own player with the clip in it."""

from pathlib import Path

from human3r.atomic import whole_file
from human3r.export.clip import Clip
from human3r.export.skin import Skin
from human3r.export.web import ClipFrames, page
from human3r.viewer.web_scene import quiet_server

MAX_POINTS = 150_000
_MAX_SIGHTS = 4000
"""People times frames that a page holds: about 2 kB each. More frames are thinned out."""


def write(clip: Clip, skin: Skin, path: Path) -> None:
    """Write the page.

    Raises:
        OutputError: not writable.
    """
    frames = ClipFrames(clip, skin, clip.images())
    with quiet_server() as server:
        scene = page(server, clip, skin, frames, MAX_POINTS)
        recording = server.get_scene_serializer()
        sights = sum(len(person.frames) for person in clip.people)
        numbers = range(0, len(frames), max(1, -(-sights // _MAX_SIGHTS)))
        for number, after in zip(numbers, [*numbers[1:], None], strict=True):
            scene.show(frames[number])
            end_s = clip.times_s[-1] + 1 / clip.rate_hz if after is None else clip.times_s[after]
            recording.insert_sleep(float(end_s - clip.times_s[number]))
        text = recording.as_html(dark_mode=True)
    title = f"<title>human3r: {clip.source}</title><!-- {clip.world.axes} -->"
    with whole_file(path) as file:
        file.write(text.replace("<title>Viser</title>", title, 1).encode())
