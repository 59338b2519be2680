"""Views whose people other nodes have found: HumanArrays, kilobytes per moment and no images."""

import time
from dataclasses import dataclass

from human3r_msgs.msg import Human, HumanArray, SkeletonInfo
from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from human3r.multiview.synchronise import LiveSets
from human3r.multiview.view import ViewPeople
from human3r_ros import qos
from human3r_ros.convert import ns_from_time
from human3r_ros.multi.fused_stream import FusedStream
from human3r_ros.multi.messages import view_from_message
from human3r_ros.multi.settings import Sync
from human3r_ros.multi.view_state import ViewState
from human3r_ros.throttled_log import ThrottledLog

_TICK_S = 0.02


@dataclass(frozen=True)
class _Arrival:
    """A message, with its stamp on the common clock."""

    stamp_ns: int
    message: HumanArray


class _Numbers:
    """Tells when a stream began again, so that its numbers mean other people."""

    def __init__(self) -> None:
        self._first_seen: dict[int, int] = {}
        self.restarts = 0

    def are_new(self, message: HumanArray) -> bool:
        # Numbers are never reused while a process lives, so a person's first sighting is theirs.
        first = {human.track_id: ns_from_time(human.first_seen) for human in message.humans}
        differs = any(self._first_seen.get(n, at_ns) != at_ns for n, at_ns in first.items())
        self._first_seen.update(first)
        if differs:
            self._first_seen = first
            self.restarts += 1
        return differs


class PeopleViews:
    """Subscriptions to the people of other nodes; fused as soon as those of a moment are there.

    Attributes:
        states: of the views.
    """

    def __init__(
        self,
        node: Node,
        group: CallbackGroup,
        names: list[str],
        sync: Sync,
        fused: FusedStream,
        log: ThrottledLog,
    ) -> None:
        """Subscribe; nothing is fused before ``begin``.

        Args:
            node: subscribes.
            group: callback group of all subscriptions.
            names: of the views, or topics.
            sync: what belongs to one moment.
            fused: takes the views.
            log: takes what is wrong.
        """
        self._node, self._fused, self._log = node, fused, log
        self._is_streaming = False
        self._sets: LiveSets[_Arrival] = LiveSets(
            round(sync.max_gap_s * 1e9), sync.patience_s, sync.silent_s
        )
        self._numbers = {view_name(name): _Numbers() for name in names}
        self.states: list[ViewState] = []
        self._subscriptions: list = []
        for name in names:
            topic = name if name.startswith("/") else f"/{name}/human3r/humans"
            expected = f"expected people on {topic}. Does its node run, and is it active?"
            state = ViewState(view_name(name), topic, expected)
            self.states.append(state)
            skeleton = topic.removesuffix("/humans") + "/skeleton"
            for kind, source, callback, profile in (
                (SkeletonInfo, skeleton, self._on_skeleton, qos.LATCHED),
                (HumanArray, topic, self._on_humans(state), qos.HUMANS),
            ):
                self._subscriptions.append(
                    node.create_subscription(kind, source, callback, profile, callback_group=group)
                )
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(_TICK_S, self._tick, callback_group=group, clock=clock)

    def begin(self) -> None:
        """Fuse from now on."""
        self._is_streaming = True

    def end(self) -> None:
        """Fuse no more."""
        self._is_streaming = False

    def close(self) -> None:
        """Unsubscribe."""
        self._is_streaming = False
        self._node.destroy_timer(self._timer)
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())

    def check(self) -> None:
        """Bring the states up to date."""
        for state in self.states:
            state.values["late"] = str(self._sets.late.get(state.name, 0))
            state.values["restarts"] = str(self._numbers[state.name].restarts)

    def forget_time(self) -> None:
        """The clock was set back."""
        self._sets.forget_time()

    def _on_skeleton(self, message: SkeletonInfo) -> None:
        if not self._fused.use_skeleton(message):
            self._log.warn(
                "skeleton",
                f"a view has the skeleton {message.skeleton_id} of {message.body_model}, the "
                "others another one; expected one body model. People of that view cannot be "
                "fused. Set the same model.body_model everywhere.",
            )

    def _on_humans(self, state: ViewState):
        def take(message: HumanArray) -> None:
            state.hear()
            state.frame_id = message.header.frame_id
            if not self._is_streaming:
                return
            skeleton = self._fused.skeleton
            if skeleton is not None and message.skeleton_id != skeleton.skeleton_id:
                state.trouble = "its skeleton differs from that of the other views"
                return
            stamp_ns = ns_from_time(message.header.stamp) + self._fused.offset_ns(state.name)
            arrival = _Arrival(stamp_ns, message)
            for found in self._sets.add(state.name, arrival, time.monotonic()):
                self._fuse(found)

        return take

    def _tick(self) -> None:
        if self._is_streaming:
            for found in self._sets.tick(time.monotonic()):
                self._fuse(found)

    def _fuse(self, arrivals: dict[str, _Arrival]) -> None:
        if self._fused.skeleton is None:
            self._log.warn(
                "no_skeleton",
                "people come, but no skeleton on the topics beside theirs; expected "
                "human3r_msgs/SkeletonInfo. Are the views Human3R nodes that are active?",
            )
            return
        views: list[ViewPeople] = []
        sources: dict[tuple[str, int], Human] = {}
        for name, arrival in arrivals.items():
            message = arrival.message
            if self._numbers[name].are_new(message):
                self._fused.forget_view(name)
            pose = self._fused.pose(name, message.header)
            if pose is None:
                continue
            found, humans = view_from_message(name, message, pose)
            views.append(found)
            sources.update({(name, number): human for number, human in humans.items()})
        self._fused.step(views, sources)


def view_name(name: str) -> str:
    """What a view is called whose topic, or namespace, is given."""
    return name.strip("/").removesuffix("/humans").removesuffix("/human3r")
