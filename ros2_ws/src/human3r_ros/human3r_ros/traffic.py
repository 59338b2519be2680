"""Bytes per second of each output."""

import threading
import time
from typing import Any

from rclpy.serialization import serialize_message

_HEADER_BYTES = 100
"""About what surrounds the data of an image or a cloud."""
_MEASURE_EVERY_S = 2.0


class _Flow:
    def __init__(self) -> None:
        self.sent = 0
        self.read = 0
        self.size = 0
        self.measured_s = -_MEASURE_EVERY_S


class Traffic:
    """Counts what is sent; images and clouds by their data, others by a sample now and then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flows: dict[str, _Flow] = {}
        self._read_s = time.monotonic()

    def count(self, topic: str, message: Any) -> None:
        """Take note of a message that is being published."""
        now_s = time.monotonic()
        with self._lock:
            flow = self._flows.setdefault(topic, _Flow())
            is_due = now_s - flow.measured_s >= _MEASURE_EVERY_S
            if is_due:
                flow.measured_s = now_s
        data = getattr(message, "data", None)
        if isinstance(data, str) or not hasattr(data, "__len__"):
            size = len(serialize_message(message)) if is_due else flow.size
        else:
            size = len(data) * getattr(data, "itemsize", 1) + _HEADER_BYTES
        with self._lock:
            flow.size = size
            flow.sent += size

    def bytes_per_s(self) -> dict[str, float]:
        """Topic to bytes per second since the question before."""
        now_s = time.monotonic()
        with self._lock:
            span_s = max(now_s - self._read_s, 1e-3)
            self._read_s = now_s
            rates = {}
            for topic, flow in self._flows.items():
                rates[topic] = (flow.sent - flow.read) / span_s
                flow.read = flow.sent
            return rates
