"""``human3r play``: videos, folders or a bag as image topics, as if cameras were running.

With ``--lockstep`` it waits for the node's report on every image, so that none is dropped and two
replays give the same numbers.
"""

import argparse
import itertools
import json
import logging
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from human3r.atomic import whole_file
from human3r.errors import InputError
from human3r.multiview.rig_file import split_source
from human3r.setting import CommandParser
from human3r_ros.bag_file import refuse_existing
from human3r_ros.commands.bag_topics import BagTopics
from human3r_ros.commands.client_session import ClientSession, client_session
from human3r_ros.commands.command_log import speak_plainly
from human3r_ros.commands.feeds import Feed, Moments, find_feeds
from human3r_ros.commands.image_out import Player
from human3r_ros.commands.lockstep import FrameGate, ReplayClock
from human3r_ros.commands.option_types import (
    count,
    field_of_view_deg,
    frame_id,
    positive,
)
from human3r_ros.commands.pacing import MediaClock
from human3r_ros.commands.playback import (
    CameraPace,
    Item,
    LockStep,
    Pace,
    RecordedPace,
    RecordedTime,
    play_all,
    warn_of_lossy_readers,
)
from human3r_ros.names import topic_name

log = logging.getLogger(__name__)

_POLL_S = 0.02


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status.

    Raises:
        InputError: the source cannot be read, or node or subscriber do not answer in time.
    """
    speak_plainly()
    options = _parse(argv)
    feeds = find_feeds(options)
    if len(feeds) > 1 and (options.lockstep or options.also or options.frame_id):
        raise InputError(
            "--lockstep, --also and --frame-id are for one camera; expected none of them with "
            f"{len(feeds)}. Leave them out."
        )
    passes = _passes(feeds, options)
    first = next(passes)  # An unusable source is reported before anything appears on the network.
    with _new_file(options.report) as report:
        _play(options, feeds, passes, first, report)
    return 0


def _play(
    options: argparse.Namespace,
    feeds: list[Feed],
    passes: Generator[Item, None, None],
    first: Item,
    report: BinaryIO | None,
) -> None:
    # Nothing needs spinning where nothing is heard.
    session_of = client_session("human3r_play", spin=options.lockstep)
    with closing(passes), ExitStack() as stack, session_of as session:
        players = [
            Player(
                session.node,
                feed.topic,
                compressed=options.compressed,
                frame_id=feed.frame_id,
                fov_deg=options.fov_deg,
            )
            for feed in feeds
        ]
        recorded = _recorded_time(options, session, stack)
        gate = FrameGate(session.node, options.status) if options.lockstep else None
        if options.wait_for_subscriber or gate is not None:
            for player in players:
                _wait_for_subscriber(player, session, options.wait_timeout)
        if gate is not None:
            gate.wait_for_node(options.wait_timeout, session.stop)
            warn_of_lossy_readers(session.node, players[0])
        began_s = time.monotonic()
        stamps: list[int] = []
        pace = _pace(options, session, recorded, gate)
        play_all(
            players,
            itertools.chain([first], passes),
            pace,
            in_order=options.lockstep,
            stamps=stamps if report else None,
        )
        for player in players:
            player.finish()
        seconds = time.monotonic() - began_s
    _report(options, players, stamps, pace, gate, seconds, report)


@contextmanager
def _new_file(path: Path | None) -> Iterator[BinaryIO | None]:
    """A file that is begun at once: after an hour of playing it is late to hear that it cannot."""
    if path is None:
        yield None
        return
    refuse_existing(path)
    with whole_file(path) as file:
        yield file


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser(
        prog="human3r play",
        description="Publish a video, image folder or bag as an image topic: at its own pace, or "
        "in lock-step with the node. Several cameras go out together, with stamps of one clock: "
        "videos with as many --topics, a bag with several --topics, or a calibration file that "
        "names sources.",
    )
    add = parser.add_argument
    add("source", metavar="SOURCE", nargs="+", help="video, folder of images, image, bag, "
        "BAG:/TOPIC or camera number; of several cameras one each, or CAMERAS.yaml")  # fmt: skip
    add("--topic", type=topic_name, help="image topic to publish, for example /camera/image_raw")
    add("--topics", metavar="LIST", help="image topics of several cameras, separated by commas, in "
        "the order of the sources (CAMERAS.yaml: /NAME/image_raw)")  # fmt: skip
    add("--rate", type=positive, default=1.0, metavar="X", help="X times as fast (default 1)")
    add("--loop", action="store_true", help="begin again at the end; stamps go on increasing")
    add("--compressed", action="store_true", help="send JPEG on TOPIC/compressed")
    add(
        "--frame-id",
        type=frame_id,
        default="",
        metavar="F",
        help="optical frame (default: the source's)",
    )
    add("--fps", type=positive, metavar="N", help="frames per second, against the source's stamps")
    add("--every", type=count, default=1, metavar="N", help="send the first of every N frames")
    add("--max-frames", type=int, default=0, metavar="N", help="stop after N frames of each pass")
    add("--fov-deg", type=field_of_view_deg, default=0.0, metavar="D", help="horizontal "
        "field of view to announce where the source has no calibration")  # fmt: skip
    add("--stamp", choices=("header", "receive"), default="header", help="of a bag's images: their "
        "own, or the times of recording, for cameras that send zero (%(default)s)")  # fmt: skip
    add("--source-topic", metavar="TOPIC", help="image topic inside a bag that has several")
    add("--clock", action="store_true", help="keep the source's own stamps and publish them on "
        "/clock, for nodes with use_sim_time (default: the present)")  # fmt: skip
    add("--also", type=topic_name, action="append", default=[], metavar="TOPIC", help="with "
        "--clock or --lockstep, another topic of the bag to send as recorded, such as /tf; may be "
        "repeated")  # fmt: skip
    add("--lockstep", action="store_true", help="send an image when the node has reported on the "
        "one before; includes --clock. Start the node with `human3r live --lockstep`")  # fmt: skip
    add("--status", type=topic_name, default="/human3r/status", metavar="TOPIC", help="where the "
        "node reports, for --lockstep (default %(default)s)")  # fmt: skip
    add("--patience", type=positive, default=60.0, metavar="S", help="how long the node may take "
        "for one image, for --lockstep (default 60)")  # fmt: skip
    add("--wait-for-subscriber", action="store_true", help="begin when the topic has a subscriber")
    add("--wait-timeout", type=positive, default=60.0, metavar="S", help="give up waiting then")
    add("--report", type=Path, metavar="FILE", help="write what was sent, with stamps, as JSON")
    options = parser.parse_args(argv)
    if options.topic and options.topics:
        parser.error("--topic is for one camera, --topics for several; leave one out")
    if options.also and not (options.clock or options.lockstep):
        parser.error("--also needs the bag's own time; add --clock or --lockstep")
    if options.also and options.loop:
        parser.error("--also sends stamps as recorded, which cannot go on increasing over --loop")
    return options


def _passes(feeds: list[Feed], options: argparse.Namespace) -> Generator[Item, None, None]:
    """Moments with media times, once or for ever."""
    clock = MediaClock()
    if options.fps:
        clock.fix_rate(options.fps)
    while True:
        with Moments(feeds, options) as moments:
            clock.expect_rate(moments.rate_hz)
            for shots, media_ns in clock.walk(moments, lambda shots: shots[0].frame):
                yield Item(shots, media_ns, moments.recorded_ns)
        if not options.loop:
            return


def _recorded_time(
    options: argparse.Namespace, session: ClientSession, stack: ExitStack
) -> RecordedTime | None:
    if not (options.clock or options.lockstep):
        return None
    others = None
    if options.also:
        others = BagTopics(session.node, Path(split_source(options.source[0])[0]), options.also)
        stack.callback(others.close)
    return RecordedTime(ReplayClock(session.node), others)


def _pace(
    options: argparse.Namespace,
    session: ClientSession,
    recorded: RecordedTime | None,
    gate: FrameGate | None,
) -> Pace:
    if recorded is None:
        return CameraPace(options.rate, session.node.get_clock().now().nanoseconds, session.stop)  # pyright: ignore[reportReturnType]
    if gate is None:
        return RecordedPace(recorded, options.rate, session.stop)  # pyright: ignore[reportReturnType]
    return LockStep(recorded, gate, options.patience, session.stop)


def _wait_for_subscriber(player: Player, session: ClientSession, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while player.num_subscribers()[0] == 0 and not session.stop.wait(_POLL_S):
        if time.monotonic() > deadline_s:
            raise InputError(
                f"{player.topic}: no subscriber within {timeout_s:g} s; expected a subscriber. "
                "Check the topic's name, ROS_DOMAIN_ID and CYCLONEDDS_URI on both sides."
            )
    # The calibration's reader is found a moment after the image's.
    patience_s = time.monotonic() + 0.5
    while player.num_subscribers()[1] == 0 and time.monotonic() < patience_s:
        if session.stop.wait(_POLL_S):
            return


def _report(
    options: argparse.Namespace,
    players: list[Player],
    stamps: list[int],
    pace: Pace,
    gate: FrameGate | None,
    seconds: float,
    report: BinaryIO | None,
) -> None:
    delayed_s = pace.delayed_ns / 1e9
    log.info(
        "sent %d frames of %s on %s in %.1f s%s",
        sum(player.sent for player in players),
        ", ".join(options.source),
        ", ".join(player.topic for player in players),
        seconds,
        f"; {delayed_s:.1f} s longer than planned, the source was slow" if delayed_s > 0.5 else "",
    )
    outcomes = dict(gate.outcomes) if gate else {}
    if outcomes:
        log.info("the node: %s", ", ".join(f"{n} {what}" for what, n in outcomes.items()))
    if report is None:
        return
    content = {
        "source": ", ".join(options.source),
        "topic": ", ".join(player.topic for player in players),
        "sent": sum(player.sent for player in players),
        "delayed_s": delayed_s,
        "outcomes": outcomes,
        "stamps_ns": stamps,
    }
    report.write(json.dumps(content).encode("utf-8"))
