"""What is known of a frame, as messages and in their order: one path for the node and for bags."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from human3r_msgs.msg import Human, HumanArray

from human3r.config import Settings
from human3r.model.weights_file import sha256_of
from human3r.pipeline import Pipeline
from human3r.streaming.sights import Sights
from human3r.tracking.covariance_file import find_covariance
from human3r.tracking.tracks import TrackedPerson
from human3r.tracking.uncertainty import PoseUncertainty
from human3r.tracking.visibility import Sight
from human3r.types import Frame, FrameEstimate, Intrinsics
from human3r_ros import convert, scene_messages
from human3r_ros.cameras import Cameras
from human3r_ros.outputs import Outputs
from human3r_ros.placement import Placement
from human3r_ros.scene_outputs import SceneFrame, SceneOutputs, level_pose
from human3r_ros.shapes import ConstantShapes
from human3r_ros.tracks import TrackBook


class FramePublisher:
    """Publishes the frames of one stream; remembers its cameras and the last frame sent.

    Attributes:
        skeleton: how the joint arrays of its people are to be read.
        cameras: the focal lengths found so far.
        people: of the last message, those out of sight included.
        scene: depth, masks, clouds, map and meshes.
    """

    def __init__(
        self, pipeline: Pipeline, outputs: Outputs, placement: Placement, tracks: TrackBook
    ) -> None:
        """Nothing is published before the first ``publish``.

        Args:
            pipeline: what makes the estimates; gives clouds and statures.
            outputs: where messages go.
            placement: level and base frame of the stream.
            tracks: the people over time.

        Raises:
            BodyModelError: the body model lacks the landmarks of the face.
        """
        self._pipeline = pipeline
        self._outputs = outputs
        self._placement = placement
        self._tracks = tracks
        self.skeleton = convert.skeleton_from_body(pipeline.body_model)
        self.cameras = Cameras()
        self.people: Sequence[Human] = ()
        self.scene = SceneOutputs(outputs, pipeline)
        self._shapes = ConstantShapes(pipeline.body_model)
        self._sights = Sights(pipeline.body_model, self.skeleton.joint_indices)
        weights = pipeline.settings.model.weights
        self._uncertainty = PoseUncertainty(find_covariance(weights, sha256_of))
        self._last: convert.FrameContext | None = None

    def publish(
        self,
        frame: Frame,
        estimate: FrameEstimate,
        settings: Settings,
        now_ns: int | None = None,
    ) -> int:
        """TF first, then data, for the same stamp; people before what is large.

        Args:
            frame: what was looked at.
            estimate: what was found.
            settings: as of now.
            now_ns: the node's clock, for what is published now and then; None: the stamp.

        Returns:
            How many people the message holds, those out of sight included.
        """
        placement = self._placement
        placement.see(frame.frame_id, estimate, settings)
        self.cameras.see(estimate)
        if settings.people.constant_shape:
            numbers = self._tracks.numbers(estimate, settings.people)
            estimate = self._shapes.hold(estimate, numbers)
        context = self._context(frame, estimate, settings)
        placement.send_transform(context.stamp_ns, context.level_from_camera, settings)
        depth_camera = self.cameras.of_depth(estimate, frame.intrinsics)
        tracked = self._tracks.update(estimate, settings.people)
        message = self._humans(estimate, tracked, depth_camera, settings, context)
        self._outputs.send("humans", message)
        self.people = message.humans
        # Not before: what cannot be sent must not be what the closing message is made from.
        self._last = context
        placement.send_odometry(context.stamp_ns, context.level_from_camera, settings)
        header = convert.header(context.stamp_ns, context.frame_id)
        if frame.intrinsics is None and self._outputs.is_wanted("camera_info"):
            self._outputs.send("camera_info", scene_messages.camera_info(context.camera, header))
        place = level_pose(context.level_from_camera, placement.waiting)
        view = SceneFrame(estimate, message, tracked, depth_camera, place, context.stamp_ns)
        self.scene.publish(view, settings, context.stamp_ns if now_ns is None else now_ns)
        return len(message.humans)

    def _humans(
        self,
        estimate: FrameEstimate,
        tracked: list[TrackedPerson],
        depth_camera: Intrinsics,
        settings: Settings,
        context: convert.FrameContext,
    ) -> HumanArray:
        sights: list[Sight] = []
        if settings.people.visibility:
            sights = self._sights.see(estimate, depth_camera, settings.scene.mask_threshold)
        everybody = replace(estimate, people=tuple(one.person for one in tracked))
        statures_m = self._pipeline.statures_m(everybody)
        sure = self._uncertainty.covariances(tracked, sights, estimate, context.camera)
        return convert.human_array(estimate.frame_index, tracked, statures_m, sights, context, sure)

    def closing_context(self, session: int) -> convert.FrameContext:
        """Header and session of the last published frame, for the closing message.

        Args:
            session: published number of the session, where no frame was published.
        """
        nowhere = Intrinsics(1.0, 1.0, 0.0, 0.0, 0, 0)
        return self._last or convert.FrameContext(
            0, "", session, nowhere, np.eye(4), self.skeleton, ""
        )

    def _context(
        self, frame: Frame, estimate: FrameEstimate, settings: Settings
    ) -> convert.FrameContext:
        return convert.FrameContext(
            stamp_ns=frame.stamp_ns,
            frame_id=frame.frame_id,
            session=self._tracks.session(estimate.session),
            camera=self.cameras.of_source(estimate, frame.intrinsics),
            level_from_camera=self._placement.level_from_camera(estimate.world_from_camera),
            skeleton=self.skeleton,
            id_prefix=settings.people.id_prefix,
            with_shape=settings.publish.shape,
            scale=estimate.scale,
            raw_from_image=frame.raw_from_image,
        )
