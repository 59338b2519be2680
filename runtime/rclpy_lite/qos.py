"""Quality of service under rclpy's names, and what it becomes in Cyclone DDS."""

from enum import Enum, IntEnum
from typing import Any

from cyclonedds.qos import Policy, Qos

from rclpy_lite.duration import Duration, Infinite

_INFINITE_NS = 2**63 - 1
MAX_BLOCKING_NS = 1_000_000_000
"""How long a publish may wait for a slow reliable reader before the sample is given up."""
MAX_KEEP_ALL = 10_000
"""Samples a keep-all subscription holds; more stay with a reliable writer."""


class _Policy(IntEnum):
    @property
    def short_key(self) -> str:
        """The name in lower case, as parameters and files write it."""
        return self.name.lower()

    @classmethod
    def get_from_short_key(cls, name: str) -> "int":
        """The value with that short key.

        Raises:
            ValueError: there is none.
        """
        for member in cls:
            if member.short_key == name.lower():
                return member.value
        choices = ", ".join(m.short_key for m in cls)
        raise ValueError(f"got {name!r}; expected one of {choices}.")

    @classmethod
    def short_keys(cls) -> list[str]:
        """All short keys but the one for unknown."""
        return [m.short_key for m in cls if m.short_key != "unknown"]


class HistoryPolicy(_Policy):
    """How many samples are kept."""

    SYSTEM_DEFAULT = 0
    KEEP_LAST = 1
    KEEP_ALL = 2
    UNKNOWN = 3


class ReliabilityPolicy(_Policy):
    """Whether lost samples are sent again."""

    SYSTEM_DEFAULT = 0
    RELIABLE = 1
    BEST_EFFORT = 2
    UNKNOWN = 3
    BEST_AVAILABLE = 4


class DurabilityPolicy(_Policy):
    """Whether late joiners get old samples."""

    SYSTEM_DEFAULT = 0
    TRANSIENT_LOCAL = 1
    VOLATILE = 2
    UNKNOWN = 3
    BEST_AVAILABLE = 4


class LivelinessPolicy(_Policy):
    """Who says that a publisher is alive."""

    SYSTEM_DEFAULT = 0
    AUTOMATIC = 1
    MANUAL_BY_TOPIC = 3
    UNKNOWN = 4
    BEST_AVAILABLE = 5


QoSHistoryPolicy = HistoryPolicy
QoSReliabilityPolicy = ReliabilityPolicy
QoSDurabilityPolicy = DurabilityPolicy
QoSLivelinessPolicy = LivelinessPolicy


class QoSPolicyKind(IntEnum):
    """Names of the policies, as in incompatible-QoS events and overrides."""

    INVALID = 1 << 0
    DURABILITY = 1 << 1
    DEADLINE = 1 << 2
    LIVELINESS = 1 << 3
    RELIABILITY = 1 << 4
    HISTORY = 1 << 5
    LIFESPAN = 1 << 6
    DEPTH = 1 << 7
    LIVELINESS_LEASE_DURATION = 1 << 8
    AVOID_ROS_NAMESPACE_CONVENTIONS = 1 << 9


class InvalidQoSProfileException(Exception):
    """A profile contradicts itself."""

    def __init__(self, *args: object) -> None:
        super().__init__("Invalid QoSProfile", *args)


_FIELDS = (
    "history",
    "depth",
    "reliability",
    "durability",
    "lifespan",
    "deadline",
    "liveliness",
    "liveliness_lease_duration",
    "avoid_ros_namespace_conventions",
)


class QoSProfile:
    """A set of policies; keyword arguments only, like rclpy's."""

    def __init__(self, **policies: Any) -> None:
        unknown = set(policies) - set(_FIELDS)
        if unknown:
            raise AssertionError(f"QoSProfile: unknown {sorted(unknown)}; expected {_FIELDS}.")
        if "history" not in policies:
            if "depth" not in policies:
                raise InvalidQoSProfileException("History and/or depth settings are required.")
            policies["history"] = HistoryPolicy.KEEP_LAST
        if policies["history"] == HistoryPolicy.KEEP_LAST and "depth" not in policies:
            raise InvalidQoSProfileException("History set to KEEP_LAST without a depth setting.")
        self.history = HistoryPolicy(policies["history"])
        self.depth = policies.get("depth", 0)
        self.reliability = ReliabilityPolicy(policies.get("reliability", 1))
        self.durability = DurabilityPolicy(policies.get("durability", 2))
        self.lifespan = policies.get("lifespan", Duration())
        self.deadline = policies.get("deadline", Duration())
        self.liveliness = LivelinessPolicy(policies.get("liveliness", 0))
        self.liveliness_lease_duration = policies.get("liveliness_lease_duration", Duration())
        self.avoid_ros_namespace_conventions = policies.get(
            "avoid_ros_namespace_conventions", False
        )
        if not isinstance(self.depth, int) or self.depth < 0:
            raise ValueError(f"depth: got {self.depth!r}; expected a whole number, at least 0.")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, QoSProfile):
            return False
        return all(getattr(self, name) == getattr(other, name) for name in _FIELDS)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"QoSProfile({', '.join(f'{n}={getattr(self, n)!r}' for n in _FIELDS)})"

    def copy(self) -> "QoSProfile":
        """An independent profile with the same policies."""
        return QoSProfile(**{name: getattr(self, name) for name in _FIELDS})


def to_profile(value: "QoSProfile | int") -> QoSProfile:
    """A profile; a number means keep-last with that depth, as everywhere in rclpy."""
    if isinstance(value, QoSProfile):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"qos: got {value!r}; expected a QoSProfile or a depth.")
    if value < 0:
        raise ValueError("history depth must be greater than or equal to zero")
    return QoSProfile(depth=value)


qos_profile_default = QoSProfile(depth=10)
qos_profile_system_default = QoSProfile(
    history=HistoryPolicy.SYSTEM_DEFAULT,
    reliability=ReliabilityPolicy.SYSTEM_DEFAULT,
    durability=DurabilityPolicy.SYSTEM_DEFAULT,
)
qos_profile_sensor_data = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
qos_profile_services_default = QoSProfile(depth=10)
qos_profile_parameters = QoSProfile(depth=1000)
qos_profile_parameter_events = QoSProfile(depth=1000)
qos_profile_action_status_default = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
qos_profile_rosout_default = QoSProfile(
    depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL, lifespan=Duration(seconds=10)
)
qos_profile_best_available = QoSProfile(
    depth=10,
    reliability=ReliabilityPolicy.BEST_AVAILABLE,
    durability=DurabilityPolicy.BEST_AVAILABLE,
)


class QoSPresetProfiles(Enum):
    """The presets by name."""

    UNKNOWN = None
    DEFAULT = qos_profile_default
    SYSTEM_DEFAULT = qos_profile_system_default
    SENSOR_DATA = qos_profile_sensor_data
    SERVICES_DEFAULT = qos_profile_services_default
    PARAMETERS = qos_profile_parameters
    PARAMETER_EVENTS = qos_profile_parameter_events
    ACTION_STATUS_DEFAULT = qos_profile_action_status_default
    BEST_AVAILABLE = qos_profile_best_available

    @classmethod
    def get_from_short_key(cls, name: str) -> QoSProfile:
        """The preset with that name in lower case."""
        return cls[name.upper()].value  # pyright: ignore[reportReturnType]


class QoSCompatibility(IntEnum):
    """Answer of `qos_check_compatible`."""

    OK = 0
    WARNING = 1
    ERROR = 2


def qos_check_compatible(
    publisher_qos: QoSProfile, subscription_qos: QoSProfile
) -> tuple[QoSCompatibility, str]:
    """Whether such a publisher reaches such a subscription, and the reason if not."""
    reasons = []
    if (
        publisher_qos.reliability == ReliabilityPolicy.BEST_EFFORT
        and subscription_qos.reliability == ReliabilityPolicy.RELIABLE
    ):
        reasons.append("ERROR: Best effort publisher and reliable subscription;")
    if (
        publisher_qos.durability == DurabilityPolicy.VOLATILE
        and subscription_qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
    ):
        reasons.append("ERROR: Volatile publisher and transient local subscription;")
    return (QoSCompatibility.ERROR if reasons else QoSCompatibility.OK), " ".join(reasons)


def _nanoseconds(duration: Any) -> int | None:
    value = getattr(duration, "nanoseconds", 0)
    return None if value in (0, Infinite.nanoseconds) else value


def _history(profile: QoSProfile) -> Any:
    if profile.history == HistoryPolicy.KEEP_ALL:
        return Policy.History.KeepAll
    return Policy.History.KeepLast(max(1, profile.depth))


def to_cyclone(profile: QoSProfile, user_data: bytes, is_writer: bool, ignore_local: bool) -> Qos:
    """The Cyclone policies of a publisher or subscription."""
    for policy in (profile.reliability, profile.durability, profile.liveliness):
        if policy.name == "BEST_AVAILABLE":
            raise NotImplementedError("QoS policy BEST_AVAILABLE; name the policy you want")
    is_reliable = profile.reliability != ReliabilityPolicy.BEST_EFFORT
    is_latched = profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    history = _history(profile)
    policies: list[Any] = [
        Policy.Reliability.Reliable(MAX_BLOCKING_NS)
        if is_reliable
        else Policy.Reliability.BestEffort,
        Policy.Durability.TransientLocal if is_latched else Policy.Durability.Volatile,
        history,
        Policy.Userdata(user_data),
    ]
    if is_writer:
        policies.append(Policy.WriterDataLifecycle(autodispose=False))
        if is_latched:
            # Without it a late joiner gets only the last sample, whatever the history says.
            policies.append(Policy.DurabilityService(0, history, -1, -1, -1))
        if (lifespan := _nanoseconds(profile.lifespan)) is not None:
            policies.append(Policy.Lifespan(lifespan))
    elif profile.history == HistoryPolicy.KEEP_ALL:
        policies.append(Policy.ResourceLimits(max_samples=MAX_KEEP_ALL))
    if ignore_local:
        policies.append(Policy.IgnoreLocal.Participant)
    if (deadline := _nanoseconds(profile.deadline)) is not None:
        policies.append(Policy.Deadline(deadline))
    lease = _nanoseconds(profile.liveliness_lease_duration) or _INFINITE_NS
    if profile.liveliness == LivelinessPolicy.MANUAL_BY_TOPIC:
        policies.append(Policy.Liveliness.ManualByTopic(lease))
    elif lease != _INFINITE_NS:
        policies.append(Policy.Liveliness.Automatic(lease))
    return Qos(*policies)


def from_cyclone(qos: Qos) -> QoSProfile:
    """The profile of an endpoint found on the network."""
    durability = {
        Policy.Durability.TransientLocal: DurabilityPolicy.TRANSIENT_LOCAL,
        Policy.Durability.Volatile: DurabilityPolicy.VOLATILE,
    }.get(qos[Policy.Durability], DurabilityPolicy.UNKNOWN)
    is_best_effort = qos[Policy.Reliability] == Policy.Reliability.BestEffort
    return QoSProfile(
        # Discovery does not carry history.
        history=HistoryPolicy.UNKNOWN,
        depth=0,
        reliability=ReliabilityPolicy.BEST_EFFORT if is_best_effort else ReliabilityPolicy.RELIABLE,
        durability=durability,
        liveliness=LivelinessPolicy.AUTOMATIC,
    )
