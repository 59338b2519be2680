"""Transforms of the last seconds and answers about them; they read ``target_from_source``."""

import threading
from collections.abc import Callable
from typing import Any

from rclpy_lite.clock import JumpThreshold
from rclpy_lite.clock_type import ClockType
from rclpy_lite.duration import Duration
from rclpy_lite.messages import get_service
from rclpy_lite.task import Future
from rclpy_lite.tf_edges import (
    IDENTITY,
    Edge,
    Rigid,
    check_transform,
    compose,
    invert,
    rigid_from_msg,
    stamp_ns_of,
    transform_msg,
)
from rclpy_lite.tf_exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)
from rclpy_lite.time import Time

DEFAULT_CACHE_S = 10.0
MAX_FRAMES = 10_000
_MAX_DEPTH = 1000


class Buffer:
    """Keeps transforms for a while and answers questions about them."""

    def __init__(self, cache_time: Duration | None = None, node: Any = None) -> None:
        self._cache_ns = (
            int(DEFAULT_CACHE_S * 1e9) if cache_time is None else cache_time.nanoseconds
        )
        self._condition = threading.Condition()
        self._edges: dict[str, Edge] = {}
        self._frames: set[str] = set()
        self._waiting: list[Callable[[], None]] = []
        self._jump = None
        self._frames_service: Any = None
        if node is not None:
            threshold = JumpThreshold(
                min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True
            )
            self._jump = node.get_clock().create_jump_callback(
                threshold, post_callback=lambda _: self.clear()
            )
            self._frames_service = self._offer_frames(node)

    def _offer_frames(self, node: Any) -> Any:
        def answer(request: Any, response: Any) -> Any:
            response.frame_yaml = self.all_frames_as_yaml()
            return response

        # A relative, well-known name: the second buffer of a node must not offer it again.
        name = node.resolve_service_name("tf2_frames")
        if any(service.srv_name == name for service in node.services):
            return None
        return node.create_service(get_service("tf2_msgs/srv/FrameGraph"), "tf2_frames", answer)

    # Filling.

    def set_transform(self, transform: Any, authority: str) -> None:
        """Remember a TransformStamped.

        Raises:
            InvalidArgumentException: unusable frames or numbers.
        """
        self._set(transform, authority, is_static=False)

    def set_transform_static(self, transform: Any, authority: str) -> None:
        """Remember a TransformStamped for all times.

        Raises:
            InvalidArgumentException: unusable frames or numbers.
        """
        self._set(transform, authority, is_static=True)

    def _set(self, transform: Any, authority: str, is_static: bool) -> None:
        parent = transform.header.frame_id.lstrip("/")
        child = transform.child_frame_id.lstrip("/")
        rigid = rigid_from_msg(transform.transform)
        check_transform(parent, child, rigid)
        stamp = transform.header.stamp
        with self._condition:
            edge = self._edges.get(child)
            if edge is None or edge.is_static != is_static:
                if child not in self._edges and len(self._edges) >= MAX_FRAMES:
                    raise InvalidArgumentException(
                        f"More than {MAX_FRAMES} frames; ignoring frame [{child}]."
                    )
                edge = self._edges[child] = Edge(is_static)
            edge.authority = authority
            edge.insert(stamp.sec * 10**9 + stamp.nanosec, parent, rigid, self._cache_ns)
            self._frames.update((parent, child))
            self._condition.notify_all()
            waiting = list(self._waiting)
        for look_again in waiting:
            look_again()

    def clear(self) -> None:
        """Forget everything but static transforms."""
        with self._condition:
            self._edges = {c: e for c, e in self._edges.items() if e.is_static}
            self._frames = set(self._edges)
            self._frames.update(entry[0] for e in self._edges.values() for entry in e.entries)

    # Asking.

    def _chain(self, frame: str, stamp_ns: int, stop_at: str | None) -> list[tuple[str, Rigid]]:
        """Ancestors of ``frame`` with ancestor_from_frame, the frame itself first."""
        chain = [(frame, IDENTITY)]
        while chain[-1][0] != stop_at and chain[-1][0] in self._edges:
            child, child_from_frame = chain[-1]
            parent, parent_from_child = self._edges[child].at(stamp_ns, child)
            chain.append((parent, compose(parent_from_child, child_from_frame)))
            if len(chain) > _MAX_DEPTH:
                raise LookupException(f"The tree has a loop at frame [{child}].")
        return chain

    def _ancestors(self, frame: str) -> list[str]:
        found = [frame]
        while found[-1] in self._edges and len(found) <= _MAX_DEPTH:
            found.append(self._edges[found[-1]].entries[-1][0])
        return found

    def _require(self, target: str, source: str) -> None:
        for frame, what in ((target, "target_frame"), (source, "source_frame")):
            if not frame:
                raise InvalidArgumentException(
                    f"Invalid argument passed to lookup_transform argument {what} in tf2 - "
                    "frame_ids cannot be empty"
                )
            if frame not in self._frames:
                raise LookupException(
                    f'"{frame}" passed to lookupTransform argument {what} does not exist.'
                )

    def _latest_common_ns(self, target: str, source: str) -> int:
        """The newest stamp at which both are connected; 0 when only static edges are between."""
        up_target, up_source = self._ancestors(target), self._ancestors(source)
        common = next((frame for frame in up_target if frame in up_source), None)
        if common is None:
            raise ConnectivityException(
                f"Could not find a connection between '{target}' and '{source}' because they are "
                "not part of the same tree. Tf has two or more unconnected trees."
            )
        path = up_target[: up_target.index(common)] + up_source[: up_source.index(common)]
        stamps = [self._edges[f].stamps[-1] for f in path if not self._edges[f].is_static]
        return min(stamps, default=0)

    def _look_up(self, target: str, source: str, stamp_ns: int) -> tuple[int, Rigid]:
        self._require(target, source)
        if target == source:
            return stamp_ns, IDENTITY
        if stamp_ns == 0:
            stamp_ns = self._latest_common_ns(target, source)
        error: TransformException | None = None
        try:
            up_source = self._chain(source, stamp_ns, target)
            if up_source[-1][0] == target:
                return stamp_ns, up_source[-1][1]
            up_target = self._chain(target, stamp_ns, source)
            by_name = dict(up_source)
            for frame, frame_from_target in up_target:
                if frame in by_name:
                    return stamp_ns, compose(invert(frame_from_target), by_name[frame])
        except ExtrapolationException as caught:
            error = caught
        self._latest_common_ns(target, source)  # Says so when they are not connected at all.
        if error is not None:
            # An edge above the common ancestor may be the one that fails; go without it.
            found = self._look_up_below_common(target, source, stamp_ns)
            if found is not None:
                return stamp_ns, found
            raise ExtrapolationException(
                f"{error}, when looking up transform from frame [{source}] to frame [{target}]"
            )
        raise ConnectivityException(
            f"Could not find a connection between '{target}' and '{source}' at that time."
        )

    def _look_up_below_common(self, target: str, source: str, stamp_ns: int) -> Rigid | None:
        up_source = self._ancestors(source)
        common = next(frame for frame in self._ancestors(target) if frame in up_source)
        try:
            source_chain = self._chain(source, stamp_ns, common)
            target_chain = self._chain(target, stamp_ns, common)
        except ExtrapolationException:
            return None
        return compose(invert(target_chain[-1][1]), source_chain[-1][1])

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Any, timeout: Duration | None = None
    ) -> Any:
        """target_from_source at ``time`` as a TransformStamped; time 0 means the newest.

        Raises:
            LookupException: an unknown frame.
            ConnectivityException: no connection.
            ExtrapolationException: that time is not in the buffer.
        """
        target, source = target_frame.lstrip("/"), source_frame.lstrip("/")
        stamp_ns = stamp_ns_of(time)
        with self._condition:
            self._wait(target, source, stamp_ns, timeout)
            found_ns, rigid = self._look_up(target, source, stamp_ns)
        return transform_msg(target, source, found_ns, rigid)

    def lookup_transform_full(
        self,
        target_frame: str,
        target_time: Any,
        source_frame: str,
        source_time: Any,
        fixed_frame: str,
        timeout: Duration | None = None,
    ) -> Any:
        """Target at one time from source at another, through a frame that does not move."""
        first = self.lookup_transform(target_frame, fixed_frame, target_time, timeout)
        second = self.lookup_transform(fixed_frame, source_frame, source_time, timeout)
        rigid = compose(rigid_from_msg(first.transform), rigid_from_msg(second.transform))
        return transform_msg(target_frame, source_frame, stamp_ns_of(target_time), rigid)

    def _wait(self, target: str, source: str, stamp_ns: int, timeout: Duration | None) -> None:
        if timeout is not None and timeout.nanoseconds > 0:
            self._condition.wait_for(
                lambda: self._can(target, source, stamp_ns)[0], timeout.nanoseconds / 1e9
            )

    def _can(self, target: str, source: str, stamp_ns: int) -> tuple[bool, str]:
        try:
            self._look_up(target, source, stamp_ns)
        except TransformException as error:
            return False, str(error)
        return True, ""

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Any,
        timeout: Duration | None = None,
        return_debug_tuple: bool = False,
    ) -> Any:
        """True when `lookup_transform` would succeed."""
        target, source = target_frame.lstrip("/"), source_frame.lstrip("/")
        stamp_ns = stamp_ns_of(time)
        with self._condition:
            self._wait(target, source, stamp_ns, timeout)
            answer = self._can(target, source, stamp_ns)
        return answer if return_debug_tuple else answer[0]

    def can_transform_full(
        self,
        target_frame: str,
        target_time: Any,
        source_frame: str,
        source_time: Any,
        fixed_frame: str,
        timeout: Duration | None = None,
        return_debug_tuple: bool = False,
    ) -> Any:
        """True when `lookup_transform_full` would succeed."""
        try:
            self.lookup_transform_full(
                target_frame, target_time, source_frame, source_time, fixed_frame, timeout
            )
        except TransformException as error:
            return (False, str(error)) if return_debug_tuple else False
        return (True, "") if return_debug_tuple else True

    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        """The newest time at which both frames are connected."""
        with self._condition:
            self._require(target_frame, source_frame)
            latest_ns = self._latest_common_ns(target_frame, source_frame)
        return Time(nanoseconds=latest_ns, clock_type=ClockType.ROS_TIME)

    def wait_for_transform_async(self, target_frame: str, source_frame: str, time: Any) -> Future:
        """A future that is done as soon as the transform can be looked up."""
        future = Future()
        stamp_ns = stamp_ns_of(time)

        def look() -> None:
            if future.done() or self._can(target_frame, source_frame, stamp_ns)[0]:
                if look in self._waiting:
                    self._waiting.remove(look)
                if not future.done():
                    future.set_result(True)

        with self._condition:
            self._waiting.append(look)
        look()
        return future

    # Listing.

    def all_frames_as_yaml(self) -> str:
        """Every frame with its parent, as tf2 writes it."""
        with self._condition:
            if not self._edges:
                return "{}"
            lines = []
            for child, edge in sorted(self._edges.items()):
                count, first, last = len(edge.stamps), edge.stamps[0], edge.stamps[-1]
                span_s = (last - first) / 1e9
                rate = 10000.0 if edge.is_static or span_s <= 0 else (count - 1) / span_s
                lines += [
                    f"{child}: ",
                    f"  parent: '{edge.entries[-1][0]}'",
                    f"  broadcaster: '{edge.authority}'",
                    f"  rate: {rate:.3f}",
                    f"  most_recent_transform: {last / 1e9:.6f}",
                    f"  oldest_transform: {first / 1e9:.6f}",
                    f"  buffer_length: {span_s:.3f}",
                ]
            return "\n".join(lines) + "\n"

    def all_frames_as_string(self) -> str:
        """Every frame with its parent, as sentences."""
        with self._condition:
            return "".join(
                f"Frame {child} exists with parent {edge.entries[-1][0]}.\n"
                for child, edge in sorted(self._edges.items())
            )
