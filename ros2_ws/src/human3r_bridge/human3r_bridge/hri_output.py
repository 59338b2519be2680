"""Publishes people as REP-155 bodies and faces, each with topics and frames of its own."""

import time
from typing import Any

from geometry_msgs.msg import PointStamped, TwistStamped
from hri_msgs.msg import IdsList, IdsMatch, NormalizedRegionOfInterest2D, Skeleton2D
from human3r_ros import qos
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from human3r_bridge import to_hri
from human3r_bridge.geometry_messages import ns_from_time
from human3r_bridge.hri_chain import joint_angles
from human3r_bridge.hri_urdf import urdf
from human3r_bridge.output import PeopleFrame, Warn, is_wanted, make_publisher
from human3r_bridge.parameters import BridgeSettings
from human3r_bridge.people import USUAL_STATURE_M, Person

_BODIES, _FACES = "/humans/bodies", "/humans/faces"
_BODY_TOPICS = {
    "roi": NormalizedRegionOfInterest2D,
    "skeleton2d": Skeleton2D,
    "joint_states": JointState,
    "position": PointStamped,
    "velocity": TwistStamped,
}
_MATCH_PERIOD_NS = 1_000_000_000
_NEW_STATURE = 0.05
"""Relative change from which a person's description is sent again."""


class _Topics:
    """The topics of one person, and the stature they were described with."""

    def __init__(self, node: Node, person_id: str, settings: BridgeSettings) -> None:
        self._node = node
        body, face = f"{_BODIES}/{person_id}", f"{_FACES}/{person_id}"
        kinds: dict[str, type] = {f"{body}/{name}": kind for name, kind in _BODY_TOPICS.items()}
        if settings.hri.cropped:
            kinds[f"{body}/cropped"] = Image
        if settings.hri.faces:
            kinds[f"{face}/roi"] = NormalizedRegionOfInterest2D
        self._body, self._face = body, face
        self._publishers: dict[str, Any] = {
            topic: node.create_publisher(kind, topic, qos.HUMANS) for topic, kind in kinds.items()
        }
        self._description = node.create_publisher(String, f"{body}/urdf", qos.LATCHED)
        self._id = person_id
        self.stature_m = 0.0
        self.leaves_at_s: float | None = None

    def body_wants(self, name: str) -> bool:
        """Whether anybody listens to a topic of the body."""
        publisher = self._publishers.get(f"{self._body}/{name}")
        return publisher is not None and is_wanted(publisher)

    def face_wants_roi(self) -> bool:
        """Whether anybody listens to the face's box."""
        publisher = self._publishers.get(f"{self._face}/roi")
        return publisher is not None and is_wanted(publisher)

    def send_body(self, name: str, message: Any) -> None:
        """Publish on a topic of the body, unless there is nothing to say."""
        if message is not None:
            self._publishers[f"{self._body}/{name}"].publish(message)

    def send_face_roi(self, message: Any) -> None:
        """Publish the face's box, unless there is none."""
        if message is not None:
            self._publishers[f"{self._face}/roi"].publish(message)

    def describe(self, stature_m: float | None) -> None:
        """Send the description when it is new, or when the stature has changed a lot."""
        wanted_m = stature_m or self.stature_m or USUAL_STATURE_M
        if abs(wanted_m - self.stature_m) > _NEW_STATURE * self.stature_m:
            self.stature_m = wanted_m
            self._description.publish(String(data=urdf(self._id, wanted_m)))

    def destroy(self) -> None:
        """Remove the topics."""
        for publisher in (*self._publishers.values(), self._description):
            self._node.destroy_publisher(publisher)


class HriOutput:
    """Everything below /humans, and the frames of bodies and faces on /tf."""

    def __init__(self, node: Node, settings: BridgeSettings, warn: Warn) -> None:
        self._node, self._settings = node, settings
        self._transforms = make_publisher(node, TFMessage, "/tf", qos.TF_INPUT, warn)
        self._bodies = make_publisher(node, IdsList, f"{_BODIES}/tracked", qos.HUMANS, warn)
        self._faces = self._matches = self._images = None
        if settings.hri.faces:
            self._faces = make_publisher(node, IdsList, f"{_FACES}/tracked", qos.HUMANS, warn)
            self._matches = make_publisher(
                node, IdsMatch, "/humans/candidate_matches", qos.HUMANS, warn
            )
        if settings.hri.cropped:
            from human3r_bridge.image_crops import ImageInput

            self._images = ImageInput(node, settings.input.transport, warn)
        self._topics: dict[str, _Topics] = {}
        self._matched: set[str] = set()
        self._matched_at_ns = 0

    def publish(self, frame: PeopleFrame) -> None:
        """Send a frame: transforms, then who is there, then each person's own topics."""
        self._open_topics(frame.people)
        angles = {person.id: self._angles(person) for person in frame.people}
        if frame.people and is_wanted(self._transforms):
            self._send_transforms(frame, angles)
        ids = [person.id for person in frame.people]
        self._bodies.publish(to_hri.ids_list(ids, frame.header))
        if self._settings.hri.faces:
            self._faces.publish(to_hri.ids_list(ids, frame.header))  # pyright: ignore[reportOptionalMemberAccess]
            self._send_matches(frame)
        for person in frame.people:
            self._send_body(person, frame, angles[person.id])
        self._send_crops(frame)

    def tick(self) -> None:
        """Remove the topics of those who left some time ago."""
        now_s = time.monotonic()
        for person_id, topics in list(self._topics.items()):
            if topics.leaves_at_s is not None and topics.leaves_at_s <= now_s:
                topics.destroy()
                del self._topics[person_id]
        if self._images is not None:
            self._images.want(any(t.body_wants("cropped") for t in self._topics.values()))

    def _open_topics(self, people: list[Person]) -> None:
        """Topics of newcomers, before their ids are announced; a date for those who left."""
        leaves_at_s = time.monotonic() + self._settings.hri.linger_s
        present = {person.id for person in people}
        for person_id, topics in self._topics.items():
            if person_id not in present and topics.leaves_at_s is None:
                topics.leaves_at_s = leaves_at_s
        for person in people:
            if person.id not in self._topics:
                self._topics[person.id] = _Topics(self._node, person.id, self._settings)
            self._topics[person.id].leaves_at_s = None
            self._topics[person.id].describe(person.stature_m)

    def _angles(self, person: Person) -> dict[str, float]:
        if is_wanted(self._transforms) or self._topics[person.id].body_wants("joint_states"):
            return joint_angles(person)
        return {}

    def _send_transforms(self, frame: PeopleFrame, angles: dict[str, dict[str, float]]) -> None:
        edges = [
            edge
            for person in frame.people
            if angles[person.id]
            for edge in to_hri.transforms(
                person,
                frame.header,
                angles=angles[person.id],
                stature_m=self._topics[person.id].stature_m,
                with_face=self._settings.hri.faces,
            )
        ]
        self._transforms.publish(TFMessage(transforms=edges))

    def _send_matches(self, frame: PeopleFrame) -> None:
        """For newcomers at once, and for all people once per second for readers that come late."""
        stamp_ns = ns_from_time(frame.header.stamp)
        is_due = not 0 <= stamp_ns - self._matched_at_ns < _MATCH_PERIOD_NS
        if is_due:
            self._matched_at_ns = stamp_ns
        for person in frame.people:
            if is_due or person.id not in self._matched:
                self._matches.publish(to_hri.face_match(person))  # pyright: ignore[reportOptionalMemberAccess]
        self._matched = {person.id for person in frame.people}

    def _send_body(self, person: Person, frame: PeopleFrame, angles: dict[str, float]) -> None:
        topics, header = self._topics[person.id], frame.header
        size_px = (frame.array.image_width, frame.array.image_height)
        if min(size_px) > 0:
            if topics.body_wants("roi"):
                topics.send_body("roi", to_hri.body_roi(person, header, size_px))
            if topics.body_wants("skeleton2d"):
                topics.send_body("skeleton2d", to_hri.skeleton2d(person, header, size_px))
            if topics.face_wants_roi():
                topics.send_face_roi(to_hri.face_roi(person, header, size_px))
        if angles and topics.body_wants("joint_states"):
            topics.send_body("joint_states", to_hri.joint_states(person, angles, header))
        if topics.body_wants("position"):
            topics.send_body("position", to_hri.position(person, header))
        if topics.body_wants("velocity"):
            topics.send_body("velocity", to_hri.velocity(person, header))

    def _send_crops(self, frame: PeopleFrame) -> None:
        wanting = [p for p in frame.people if self._topics[p.id].body_wants("cropped")]
        if self._images is None or not wanting:
            return
        from human3r_bridge.image_crops import cropped

        image = self._images.image(frame.header)
        if image is None:
            return
        for person in wanting:
            message = cropped(image, person, frame.header)
            self._topics[person.id].send_body("cropped", message)
