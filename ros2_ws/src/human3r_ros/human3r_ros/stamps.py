"""Stamps: integer nanoseconds here, two fields in messages."""

from builtin_interfaces.msg import Time

_SECOND_NS = 1_000_000_000


def time_from_ns(stamp_ns: int) -> Time:
    """Nanoseconds as a message."""
    return Time(sec=stamp_ns // _SECOND_NS, nanosec=stamp_ns % _SECOND_NS)


def ns_from_time(stamp: Time) -> int:
    """A message's time as nanoseconds."""
    return stamp.sec * _SECOND_NS + stamp.nanosec
