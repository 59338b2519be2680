"""``human3r_replay_pacer``: drives a paused ``ros2 bag play`` in lock-step with the node.

The player is asked for one message after the other (``play_next``); after each image the pacer
waits for the node's report on it. It also publishes ``/clock``, so the player must not.
"""

import argparse
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rclpy.utilities import remove_ros_args
from rosbag2_interfaces.srv import PlayNext

from human3r.errors import Human3RError, InputError
from human3r.setting import CommandParser
from human3r_ros.commands.bag_topics import recorded_images
from human3r_ros.commands.client_session import ClientSession, client_session
from human3r_ros.commands.command_log import speak_plainly
from human3r_ros.commands.lifecycle_client import call
from human3r_ros.commands.lockstep import FrameGate, ReplayClock
from human3r_ros.commands.option_types import positive
from human3r_ros.parent import end_with_launch

log = logging.getLogger(__name__)

FAILED = 1
_ANSWER_S = 10.0
_POLL_S = 0.1
_TF = ("/tf", "/tf_static")


def run(argv: Sequence[str] | None = None) -> None:
    """Pace a player to the end of its bag.

    Raises:
        InputError: the bag cannot be used, or player or node do not answer in time.
    """
    options = parse(argv)
    topics = (options.image, *options.topics)
    plan = list(recorded_images(options.bag, topics, options.image))
    with client_session("human3r_replay_pacer", spin=True) as session:
        gate = FrameGate(session.node, options.status)
        player = Player(session, options.player)
        player.wait(options.wait_timeout)
        gate.wait_for_node(options.wait_timeout, session.stop)
        clock = ReplayClock(session.node)
        if options.recorder and plan:
            wait_for_recorder(session, options, gate.topic, lambda: clock.advance(plan[0][0]))

        def wait_for_report(stamp_ns: int) -> None:
            gate.wait_for_report(stamp_ns, options.patience, session.stop)

        played = pace(iter(plan), player.play_next, wait_for_report, clock.advance, session.stop)
    found = ", ".join(f"{number} {what}" for what, number in gate.outcomes.items()) or "no image"
    log.info("played %d of %d messages in lock-step; the node: %s", played, len(plan), found)
    if played < len(plan) and not session.stop.is_set():
        raise InputError(
            f"{options.player} stopped after {played} of {len(plan)} messages; expected all. Give "
            "the player the same --topics, start it with --start-paused, and do not resume it."
        )


def wait_for_recorder(
    session: ClientSession, options: argparse.Namespace, topic: str, tell_time: Callable[[], None]
) -> None:
    """Until the recorder reads the node's reports; one that follows /clock waits for it first.

    Raises:
        InputError: it does not in time.
    """
    deadline_s = time.monotonic() + options.wait_timeout
    node = session.node
    while all(i.node_name != options.recorder for i in node.get_subscriptions_info_by_topic(topic)):
        tell_time()
        if session.stop.wait(_POLL_S):
            return
        if time.monotonic() > deadline_s:
            raise InputError(
                f"{topic}: {options.recorder} does not read it within {options.wait_timeout:g} s; "
                "expected the recorder. Start `ros2 bag record`, or drop --recorder."
            )


def pace(
    plan: Iterator[tuple[int, int]],
    play_next: Callable[[], bool],
    wait_for_report: Callable[[int], None],
    advance: Callable[[int], None],
    stop: threading.Event,
) -> int:
    """Ask for every message, and wait for the node after each image.

    Args:
        plan: time of recording and, for an image, its stamp, else -1, of every message; in
            nanoseconds. A player may exchange messages of the same time of recording.
        play_next: sends the next message; False when there is none.
        wait_for_report: returns when the node has reported on the image with this stamp.
        advance: sets the time.
        stop: ends it early.

    Returns:
        How many messages were played.
    """
    played, now_ns = 0, -1
    waiting: list[int] = []
    for recorded_ns, stamp_ns in plan:
        if recorded_ns != now_ns:
            _wait_for_all(waiting, wait_for_report)
            now_ns = recorded_ns
            advance(now_ns)
        if stop.is_set() or not play_next():
            return played
        played += 1
        if stamp_ns >= 0:
            waiting.append(stamp_ns)
    _wait_for_all(waiting, wait_for_report)
    return played


def _wait_for_all(waiting: list[int], wait_for_report: Callable[[int], None]) -> None:
    for stamp_ns in waiting:
        wait_for_report(stamp_ns)
    waiting.clear()


class Player:
    """A paused rosbag2 player.

    Args:
        session: makes the calls.
        name: full name of the player's node.
    """

    def __init__(self, session: ClientSession, name: str) -> None:
        self._stop = session.stop
        self._name = f"{name}/play_next"
        self._client = session.node.create_client(PlayNext, self._name)

    def wait(self, timeout_s: float) -> None:
        """Until the player is there.

        Raises:
            InputError: it is not in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while not self._client.service_is_ready() and not self._stop.wait(_POLL_S):
            if time.monotonic() > deadline_s:
                raise InputError(
                    f"{self._name}: no such service within {timeout_s:g} s; expected a paused "
                    "player. Start `ros2 bag play BAG --start-paused` without --clock."
                )

    def play_next(self) -> bool:
        """Whether it sent one more message.

        Raises:
            InputError: it does not answer.
        """
        reply = call(self._client, PlayNext.Request(), _ANSWER_S)
        if reply is None:
            raise InputError(
                f"{self._name}: no answer within {_ANSWER_S:g} s; expected a running player. "
                "See what it said."
            )
        return reply.success


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = CommandParser(
        prog="human3r_replay_pacer",
        description="Drive a paused `ros2 bag play` so that the node processes every image.",
    )
    add = parser.add_argument
    add("--bag", type=Path, required=True, help="the bag that is played")
    add("--image", required=True, metavar="TOPIC", help="image topic of the bag")
    add("--topics", nargs="*", default=list(_TF), metavar="TOPIC", help="what else the player "
        "plays; the same as its own --topics (default /tf /tf_static)")  # fmt: skip
    add("--status", default="/human3r/status", metavar="TOPIC", help="default %(default)s")
    add("--player", default="/rosbag2_player", metavar="NAME", help="default %(default)s")
    add("--recorder", metavar="NAME", help="begin when this node records the status topic")
    add("--patience", type=positive, default=60.0, metavar="S", help="for one image; default 60")
    add("--wait-timeout", type=positive, default=120.0, metavar="S", help="for player and node")
    words = remove_ros_args(list(sys.argv if argv is None else ["", *argv]))
    return parser.parse_args(words[1:])


def main(argv: Sequence[str] | None = None) -> int:
    """The executable. Returns the exit status."""
    end_with_launch()
    speak_plainly()
    try:
        run(argv)
    except Human3RError as error:
        log.error("human3r_replay_pacer: %s", error)
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
