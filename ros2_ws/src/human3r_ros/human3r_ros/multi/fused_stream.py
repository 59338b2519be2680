"""People of all views in one world: where the views are, who is who, and what is published."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from threading import Lock

import numpy as np
from human3r_msgs.msg import Human, HumanArray, SkeletonInfo
from rclpy.lifecycle import LifecycleNodeMixin
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from human3r.errors import InputError
from human3r.multiview.fuser import Fuser, MultiviewEstimate
from human3r.multiview.health import ViewHealth
from human3r.multiview.rig_file import RigCamera
from human3r.multiview.view import ViewPeople
from human3r_ros import convert, qos
from human3r_ros.convert import ns_from_time
from human3r_ros.multi.messages import fused_array, joint_parents
from human3r_ros.multi.settings import MultiSettings
from human3r_ros.throttled_log import ThrottledLog
from human3r_ros.transforms import FrameTree, transform_message

Sources = Mapping[tuple[str, int], Human]
"""What the views themselves say of people, by view and number."""


class FusedStream:
    """The way from the people of views to one message, with one owner of identities and poses.

    One thread calls ``pose`` and ``step``; attributes may be read by others.

    Attributes:
        tree: what is heard on TF, and the cameras of the calibration file.
        skeleton: of all views; None before the first one was heard.
        health: how views agree, by name.
        trouble: why a view has no pose, by name; empty texts where it has one.
        observe: told of every moment and its views.
    """

    def __init__(
        self,
        node: LifecycleNodeMixin,
        settings: MultiSettings,
        cameras: Mapping[str, RigCamera],
        log: ThrottledLog,
    ) -> None:
        """Open the publishers.

        Args:
            node: publishes.
            settings: of the node.
            cameras: of the calibration file; empty: poses are looked up in TF.
            log: takes what is wrong.
        """
        self.tree = FrameTree()
        self.skeleton: SkeletonInfo | None = None
        self.health: dict[str, ViewHealth] = {}
        self.trouble: dict[str, str] = {}
        self.observe: Callable[[MultiviewEstimate, Sequence[ViewPeople]], None] = lambda *_: None
        self._node, self._settings, self._cameras, self._log = node, settings, cameras, log
        self._fuser: Fuser | None = None
        self._frame_of: dict[str, str] = {}
        self._stamp_ns, self._moments = -1, 0
        self._publishing, self._is_open = Lock(), False
        make = node.create_lifecycle_publisher
        self._humans = make(HumanArray, "~/humans", qos.HUMANS)
        self._skeletons = make(SkeletonInfo, "~/skeleton", qos.LATCHED)
        # A transform that never changes may be told before activation.
        self._static = node.create_publisher(TFMessage, "/tf_static", qos.TF_STATIC_INPUT)  # pyright: ignore[reportAttributeAccessIssue]

    def destroy(self) -> None:
        """Give the publishers back."""
        for publisher in (self._humans, self._skeletons):
            self._node.destroy_lifecycle_publisher(publisher)
        self._node.destroy_publisher(self._static)  # pyright: ignore[reportAttributeAccessIssue]

    def use_skeleton(self, skeleton: SkeletonInfo) -> bool:
        """Take a view's skeleton; False where the others have another one."""
        known = self.skeleton
        if known is None:
            known = self.skeleton = skeleton
            parents = joint_parents(skeleton)
            self._fuser = Fuser(parents, self._settings.fusion_settings())
            self.announce()
        return known.skeleton_id == skeleton.skeleton_id

    def begin(self) -> None:
        """Publish from now on, the skeleton first: before activation it was not sent."""
        with self._publishing:
            self._is_open = True
        self.announce()

    def announce(self) -> None:
        """Publish the skeleton, where it is known."""
        if self.skeleton is not None:
            self._skeletons.publish(self.skeleton)

    def offset_ns(self, view: str) -> int:
        """What is added to a view's stamps."""
        camera = self._cameras.get(view)
        return round(camera.time_offset_s * 1e9) if camera else 0

    def forget_view(self, view: str) -> None:
        """A view's numbers mean other people from now on."""
        if self._fuser is not None:
            self._fuser.forget_view(view)

    def pose(self, view: str, header: Header) -> np.ndarray | None:
        """world_from_camera (4, 4) of a message; None, and reported, where it is unknown."""
        world, frame_id = self._settings.frames.world, header.frame_id
        camera = self._cameras.get(view)
        self._frame_of[view] = frame_id
        if twin := self._twin(view):
            self.trouble[view] = (
                f"its frame is {frame_id!r}, as that of {twin}; expected a frame for each camera. "
                "Set frame_id in the cameras' drivers"
            )
            self._log.warn(("frame", view), f"view {view}: {self.trouble[view]}.")
            return camera.world_from_camera if camera is not None else None
        if camera is not None:
            self.trouble[view] = ""
            if frame_id and frame_id != world:
                self.say_static(world, frame_id, camera.world_from_camera)
            return camera.world_from_camera
        found = self.tree.lookup(world, frame_id, ns_from_time(header.stamp))
        if found.target_from_source is None:
            # A moving robot's newest pose is better than none for a moment.
            newest = self.tree.lookup(world, frame_id, 0)
            if newest.target_from_source is not None:
                self.trouble[view] = ""
                return newest.target_from_source
            self.trouble[view] = (
                f"{found.reason}; expected a path from {world} to its camera. Publish the "
                "camera's static transform, or set calibration"
            )
            self._log.warn(("tf", view), f"view {view}: {self.trouble[view]}.")
            return None
        self.trouble[view] = ""
        return found.target_from_source

    def _twin(self, view: str) -> str:
        """Another view whose camera has the same frame; empty where none has."""
        own = self._frame_of[view]
        return next((n for n, frame in self._frame_of.items() if frame == own and n != view), "")

    def say_static(self, parent: str, child: str, parent_from_child: np.ndarray) -> None:
        """A static transform, once, unless the child has a parent already."""
        if self.tree.parent(child) is None:
            now_ns = self._node.get_clock().now().nanoseconds  # pyright: ignore[reportAttributeAccessIssue]
            edge = transform_message(now_ns, parent, child, parent_from_child)
            self._static.publish(TFMessage(transforms=[edge]))
            self.tree.update(TFMessage(transforms=[edge]), is_static=True)

    def step(self, views: Sequence[ViewPeople], sources: Sources) -> None:
        """Fuse the views of one moment, and publish.

        Args:
            views: stamps are those of the cameras.
            sources: boxes and shapes are taken from them.
        """
        if self._fuser is None or not views:
            return
        views = [replace(v, stamp_ns=v.stamp_ns + self.offset_ns(v.view)) for v in views]
        if max(view.stamp_ns for view in views) < self._stamp_ns:
            # Sets come in the order of time, so time was set back.
            self._fuser.forget_time()
        try:
            estimate = self._fuser.step(views)
        except InputError as error:
            self._log.warn("fuse", f"a moment is left out: {error}")
            return
        self._stamp_ns, self.health = estimate.stamp_ns, estimate.health
        self._moments += 1
        for health in estimate.health.values():
            if health.trouble:
                self._log.warn(("health", health.view), health.trouble, period_s=30.0)
        message = fused_array(
            estimate.people,
            estimate.gone,
            sources,
            stamp_ns=estimate.stamp_ns,
            frame_index=self._moments,
            world=self._settings.frames.world,
            skeleton_id=self.skeleton.skeleton_id if self.skeleton else "",
            id_prefix=self._settings.id_prefix,
        )
        with self._publishing:
            # A moment that was in flight when the stream ended must not follow the closing message.
            if self._is_open:
                self._humans.publish(message)
                self.observe(estimate, views)

    def end(self) -> None:
        """An empty list, so that the last people are not taken for present ones; then no more."""
        with self._publishing:
            self._is_open = False
            if self._moments:
                now_ns = self._node.get_clock().now().nanoseconds  # pyright: ignore[reportAttributeAccessIssue]
                header = convert.header(now_ns, self._settings.frames.world)
                skeleton_id = self.skeleton.skeleton_id if self.skeleton else ""
                self._humans.publish(HumanArray(header=header, skeleton_id=skeleton_id))
