"""People as people_msgs/People, which social navigation layers read."""

import numpy as np
from people_msgs.msg import People
from people_msgs.msg import Person as PeoplePerson
from std_msgs.msg import Header

from human3r_bridge.geometry_messages import point
from human3r_bridge.people import STATE_NAMES, Person

_UNKNOWN = {"velocity": "unknown"}


def people_message(people: list[Person], header: Header, frame_from_camera: np.ndarray) -> People:
    """Everyone with position and velocity in one frame.

    Args:
        people: of one frame.
        header: names that frame.
        frame_from_camera: (4, 4).
    """
    return People(header=header, people=[_person(person, frame_from_camera) for person in people])


def _person(person: Person, frame_from_camera: np.ndarray) -> PeoplePerson:
    rotation, offset = frame_from_camera[:3, :3], frame_from_camera[:3, 3]
    tags = {"track_state": STATE_NAMES[person.track_state]}
    if person.stature_m is not None:
        tags["stature"] = f"{person.stature_m:.2f}"
    velocity = np.zeros(3)
    if person.velocity_camera is None:
        tags.update(_UNKNOWN)
    else:
        velocity = rotation @ person.velocity_camera
    return PeoplePerson(
        name=person.id,
        position=point(rotation @ person.camera_from_body[:3, 3] + offset),
        velocity=point(velocity),
        reliability=person.score,
        tagnames=list(tags),
        tags=list(tags.values()),
    )
