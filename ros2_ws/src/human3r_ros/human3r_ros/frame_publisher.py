"""What is known of a frame, as messages and in their order: one path for the node and for bags."""

from collections.abc import Sequence

import numpy as np
from human3r_msgs.msg import Human

from human3r.config import Settings
from human3r.pipeline import Pipeline
from human3r.types import Frame, FrameEstimate, Intrinsics
from human3r_ros import convert, scene_messages
from human3r_ros.outputs import Outputs
from human3r_ros.placement import Placement
from human3r_ros.scene_outputs import SceneFrame, SceneOutputs


class FramePublisher:
    """Publishes the frames of one stream; remembers the last frame sent.

    Attributes:
        skeleton: how the joint arrays of its people are to be read.
        people: of the last message, those out of sight included.
        scene: depth, masks, clouds, map and meshes.
    """

    def __init__(self, pipeline: Pipeline, outputs: Outputs, placement: Placement) -> None:
        """Nothing is published before the first ``publish``.

        Args:
            pipeline: what makes the estimates; gives clouds.
            outputs: where messages go.
            placement: level and base frame of the stream.

        Raises:
            BodyModelError: the body model lacks the landmarks of the face.
        """
        self._outputs = outputs
        self._placement = placement
        self.skeleton = convert.skeleton_from_body(pipeline.body_model)
        self.people: Sequence[Human] = ()
        self.scene = SceneOutputs(outputs, pipeline)
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
            now_ns: the node's clock, for outputs with an interval; None: the stamp.

        Returns:
            How many people the message holds, those out of sight included.
        """
        # TF, which readers of everything else ask for.
        placement, pose = self._placement, estimate.level_from_camera
        is_placed = not placement.update(frame) and bool(np.isfinite(pose).all())
        context = self._context(frame, estimate, settings)
        if is_placed:
            placement.send_transform(context.stamp_ns, pose, settings)
        # People.
        message = convert.human_array(estimate, context)
        self._outputs.send("humans", message)
        self.people = message.humans
        # Not before: what cannot be sent must not be what the closing message is made from.
        self._last = context
        # The camera.
        is_own_pose = estimate.has_scene or estimate.is_motion_known
        if is_placed and estimate.state_updated and is_own_pose:
            # The pose of another frame would be no substitute.
            covariance = estimate.camera_covariance
            if covariance is not None:
                turn = np.kron(np.eye(2), estimate.level_from_world[:3, :3])  # pyright: ignore[reportOptionalSubscript]
                covariance = turn @ covariance @ turn.T
            placement.send_odometry(context.stamp_ns, pose, settings, covariance)
        if frame.intrinsics is None and self._outputs.is_wanted("camera_info"):
            header = convert.header(context.stamp_ns, context.frame_id)
            self._outputs.send("camera_info", scene_messages.camera_info(context.camera, header))
        self._publish_color(frame, context)
        # The scene.
        view = SceneFrame(estimate, message, pose if is_placed else None, context.stamp_ns)
        self.scene.publish(view, settings, context.stamp_ns if now_ns is None else now_ns)
        return len(message.humans)

    def _publish_color(self, frame: Frame, context: convert.FrameContext) -> None:
        """The image itself, for viewers."""
        header = convert.header(context.stamp_ns, context.frame_id)
        if self._outputs.is_wanted("color_info"):
            self._outputs.send("color_info", scene_messages.color_info(context.camera, header))
        if self._outputs.is_wanted("color"):
            self._outputs.send("color", scene_messages.color_image(frame.image, header))

    def closing_context(self, session: int) -> convert.FrameContext:
        """Header and session of the last published frame, for the closing message.

        Args:
            session: number of the session, where no frame was published.
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
            session=estimate.session,
            camera=estimate.source_camera,
            level_from_camera=estimate.level_from_camera,
            skeleton=self.skeleton,
            id_prefix=settings.people.id_prefix,
            with_shape=settings.publish.shape,
            scale=estimate.body_scale,
            raw_from_image=frame.raw_from_image,
        )
