"""Services, in rmw_cyclonedds' form: the caller's id and number in front of each body."""

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cyclonedds.core import DDSStatus
from rosbags.serde import SerdeError

from rclpy_lite.callback_groups import CallbackGroup
from rclpy_lite.graph import service_identity
from rclpy_lite.qos import QoSProfile
from rclpy_lite.serialization import deserialize_message, serialize_message
from rclpy_lite.transport.cyclone import Reader, Writer
from rclpy_lite.waitable import Waitable

_HEADER_BYTES = 16
_REPLY_READER_WAIT_S = 0.1
MAX_KNOWN_CLIENTS = 1024


@dataclass(frozen=True)
class RequestId:
    """Who asked, and which of its questions this is."""

    guid: int
    sequence_number: int


def wrap(request_id: RequestId, body: Any) -> bytes:
    """Encapsulation, id and the body's fields.

    The id is 16 bytes long, so the body keeps its alignment and its CDR can follow as it is.
    """
    cdr = serialize_message(body)
    header = struct.pack("<Qq", request_id.guid, request_id.sequence_number)
    return b"".join((cdr[:4], header, cdr[4:]))


def unwrap(cdr: bytes, body_type: type) -> tuple[RequestId, Any]:
    """The inverse of `wrap`.

    Raises:
        SerdeError: the bytes are not such a message.
    """
    if len(cdr) < 4 + _HEADER_BYTES or cdr[0] != 0 or cdr[1] > 1:
        raise SerdeError("not a service message: too short or unknown encapsulation")
    order = "<" if cdr[1] == 1 else ">"
    guid, number = struct.unpack_from(f"{order}Qq", cdr, 4)
    body = deserialize_message(cdr[:4] + cdr[4 + _HEADER_BYTES :], body_type)
    return RequestId(guid, number), body


class ServiceEndpoint(Waitable):
    """What services and clients have in common: a reader, a writer, a callback."""

    def __init__(
        self, node: Any, srv_type: Any, srv_name: str, qos: QoSProfile, group: CallbackGroup
    ) -> None:
        super().__init__(group, node._wake)
        self._node = node
        self._reader: Reader | None = None
        self._writer: Writer | None = None
        self._told_ns = 0
        self.srv_type = srv_type
        self.srv_name = srv_name
        self.qos_profile = qos

    @property
    def service_name(self) -> str:
        """The absolute, remapped name."""
        return self.srv_name

    def attach(self, reader: Reader, writer: Writer) -> None:
        """Give it its endpoints; data may have arrived before."""
        self._reader = reader
        self._writer = writer
        self.mark_ready()

    def on_status(self, raised: int) -> None:
        """Called by the DDS thread."""
        if raised & DDSStatus.DataAvailable:
            self.mark_ready()

    def _take(self, body_type: type) -> tuple[RequestId, Any, Any] | None:
        taken = None if self._reader is None else self._reader.take()
        if taken is None:
            return None
        self.mark_ready()
        cdr, info = taken
        try:
            request_id, body = unwrap(cdr, body_type)
        except SerdeError as error:
            now_ns = time.monotonic_ns()
            if self._told_ns == 0 or now_ns - self._told_ns > 5e9:
                self._told_ns = now_ns
                self._node.get_logger().warning(f"{self.srv_name}: malformed message: {error}")
            return None
        return request_id, body, info

    def destroy(self) -> None:
        """Leave the service."""
        for endpoint in (self._reader, self._writer):
            if endpoint is not None:
                endpoint.close()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()


def _client_of(endpoint: tuple[bytes, bytes]) -> bytes:
    """What a client's two endpoints have in common: its id, else the participant they are in."""
    participant, user_data = endpoint
    return service_identity(user_data, b"clientid") or participant


class Service(ServiceEndpoint):
    """Answers requests; made by `Node.create_service`."""

    def __init__(
        self,
        node: Any,
        srv_type: Any,
        srv_name: str,
        callback: Callable[[Any, Any], Any],
        qos: QoSProfile,
        group: CallbackGroup,
    ) -> None:
        super().__init__(node, srv_type, srv_name, qos, group)
        self.callback = callback
        self._reachable: set[int] = set()

    def take(self) -> Callable[[], Any] | None:
        """The next request, ready to be answered."""
        taken = self._take(self.srv_type.Request)
        if taken is None:
            return None
        request_id, request, info = taken
        return lambda: self._answer(request_id, request, info.publication_handle)

    def _answer(self, request_id: RequestId, request: Any, handle: int) -> Any:
        outcome = self.callback(request, self.srv_type.Response())
        if hasattr(outcome, "__await__"):
            return self._answer_later(request_id, outcome, handle)
        self._wait_for_reply_reader(handle)
        self.send_response(outcome, request_id)
        return None

    async def _answer_later(self, request_id: RequestId, outcome: Any, handle: int) -> None:
        response = await outcome
        self._wait_for_reply_reader(handle)
        self.send_response(response, request_id)

    def _wait_for_reply_reader(self, handle: int) -> None:
        """A reply sent before the client's reader is matched would be lost; wait a little."""
        if handle in self._reachable or self._reader is None or self._writer is None:
            return
        writer = self._reader.matched_writer(handle)
        deadline = time.monotonic() + _REPLY_READER_WAIT_S
        while writer is not None:
            readers = map(_client_of, self._writer.matched_readers())
            if _client_of(writer) in readers or time.monotonic() > deadline:
                break
            time.sleep(0.002)
        if len(self._reachable) >= MAX_KNOWN_CLIENTS:
            self._reachable.clear()
        self._reachable.add(handle)

    def send_response(self, response: Any, header: RequestId) -> None:
        """Send an answer.

        Raises:
            TypeError: not a response of this service.
        """
        if not isinstance(response, self.srv_type.Response):
            raise TypeError(
                f"{self.srv_name}: the callback returned {type(response).__name__}; expected "
                f"{self.srv_type.__name__}.Response."
            )
        if self._writer is not None and not self._writer.is_closed:
            self._writer.write(wrap(header, response))
