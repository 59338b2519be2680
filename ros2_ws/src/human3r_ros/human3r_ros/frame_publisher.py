"""What is known of a frame, as messages and in their order: one path for the node and for bags."""

from dataclasses import replace

import numpy as np
from human3r_msgs.msg import HumanArray

from human3r.config import Settings
from human3r.pipeline import Pipeline
from human3r.tracking.visibility import Sight
from human3r.types import Frame, FrameEstimate, Intrinsics
from human3r_ros import convert
from human3r_ros.cameras import Cameras
from human3r_ros.outputs import Outputs, SceneOutputs
from human3r_ros.placement import Placement
from human3r_ros.shapes import ConstantShapes
from human3r_ros.sights import Sights
from human3r_ros.tracks import TrackBook


class FramePublisher:
    """Publishes the frames of one stream; remembers its cameras and the last frame sent.

    Attributes:
        skeleton: how the joint arrays of its people are to be read.
        cameras: the focal lengths found so far.
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
        self._scene = SceneOutputs(outputs, pipeline.points, pipeline.scene_points)
        self._shapes = ConstantShapes(pipeline.body_model)
        self._sights = Sights(pipeline.body_model, self.skeleton.joint_indices)
        self._last: convert.FrameContext | None = None

    def publish(self, frame: Frame, estimate: FrameEstimate, settings: Settings) -> int:
        """TF first, then data, for the same stamp; people before what is large.

        Returns:
            How many people the message holds, those out of sight included.
        """
        placement = self._placement
        placement.enter(frame.frame_id)
        self.cameras.see(estimate)
        if settings.people.constant_shape:
            estimate = self._shapes.hold(estimate)
        context = self._context(frame, estimate, settings)
        placement.send_transform(context.stamp_ns, context.level_from_camera)
        depth_camera = self.cameras.of_depth(estimate, frame.intrinsics)
        message = self._humans(estimate, depth_camera, settings, context)
        self._outputs.send("humans", message)
        # Not before: what cannot be sent must not be what the closing message is made from.
        self._last = context
        stddev = (settings.odometry.position_stddev_m, settings.odometry.rotation_stddev_rad)
        placement.send_odometry(
            context.stamp_ns, context.session, context.level_from_camera, stddev
        )
        header = convert.header(context.stamp_ns, context.frame_id)
        self._scene.publish(estimate, depth_camera, header, settings.scene.mask_threshold)
        return len(message.humans)

    def _humans(
        self,
        estimate: FrameEstimate,
        depth_camera: Intrinsics,
        settings: Settings,
        context: convert.FrameContext,
    ) -> HumanArray:
        sights: list[Sight] = []
        if settings.people.visibility:
            sights = self._sights.see(estimate, depth_camera, settings.scene.mask_threshold)
        tracked = self._tracks.update(estimate, settings.people)
        everybody = replace(estimate, people=tuple(one.person for one in tracked))
        statures_m = self._pipeline.statures_m(everybody)
        return convert.human_array(estimate.frame_index, tracked, statures_m, sights, context)

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
        )
