"""Cyclone DDS behind a few plain words: participant, reader, writer, bytes.

One thread per participant sleeps in a DDS wait set and tells the owners of readers and writers
that something happened; it takes no samples itself. Samples wait in Cyclone's own bounded history
until an executor asks for them, so a slow callback costs no memory.
"""

import contextlib
import ctypes
import importlib.metadata
import logging
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

from cyclonedds.core import DDSException, DDSStatus, Entity, GuardCondition, WaitSet
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.internal import InvalidSample, c_call, dds_c_t
from cyclonedds.pub import DataWriter, Publisher
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader, Subscriber
from cyclonedds.topic import Topic

from rclpy_lite.exceptions import InvalidHandle, RCLError
from rclpy_lite.transport.environment import participant_configuration

_log = logging.getLogger(__name__)
_FOREVER_NS = 2**63 - 1
_WAITSET_SLOTS = 64

_domains: dict[int, tuple[Domain | None, int]] = {}
_domains_lock = threading.Lock()


def _open_domain(domain_id: int) -> None:
    with _domains_lock:
        domain, users = _domains.get(domain_id, (None, 0))
        if users == 0:
            # Other code in this process may have made the domain already; then its settings hold.
            # A configuration that Cyclone refuses is reported by the participant made next.
            with contextlib.suppress(DDSException):
                domain = Domain(domain_id, participant_configuration())
        _domains[domain_id] = (domain, users + 1)


def _close_domain(domain_id: int) -> None:
    with _domains_lock:
        domain, users = _domains[domain_id]
        if users > 1:
            _domains[domain_id] = (domain, users - 1)
            return
        del _domains[domain_id]
    if domain is not None:
        delete_entity(domain)


def delete_entity(entity: Entity) -> None:
    """Delete now instead of whenever the garbage collector comes by."""
    if Entity._entities.pop(entity._ref, None) is not None:  # pyright: ignore[reportArgumentType, reportCallIssue]
        entity._delete(entity._ref)  # pyright: ignore[reportCallIssue]


class _TellingWaitSet(WaitSet):
    """A wait set that says who woke it; cyclonedds' own returns only a count."""

    @c_call("dds_waitset_attach")
    def attach_as(
        self, waitset: dds_c_t.entity, entity: dds_c_t.entity, token: ctypes.c_ssize_t
    ) -> dds_c_t.returnv:  # pyright: ignore[reportReturnType]
        pass

    @c_call("dds_waitset_detach")
    def detach_ref(self, waitset: dds_c_t.entity, entity: dds_c_t.entity) -> dds_c_t.returnv:  # pyright: ignore[reportReturnType]
        pass

    @c_call("dds_waitset_wait")
    def wait_tokens(
        self,
        waitset: dds_c_t.entity,
        tokens: ctypes.POINTER(ctypes.c_ssize_t),  # pyright: ignore[reportInvalidTypeForm]
        size: ctypes.c_size_t,
        timeout: dds_c_t.duration,
    ) -> dds_c_t.returnv:  # pyright: ignore[reportReturnType]
        pass


class _Cdr(ctypes.Structure):
    """Serialised bytes as cyclonedds' C layer hands them to Cyclone: place and length."""

    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t))


_CDR_KNOWN_OF = ("11.0.1",)
"""Versions of cyclonedds whose C layer is known to read ``_Cdr``; others send in their own way."""


class _FreeWriter(DataWriter):
    """A writer that lets other threads run while Cyclone sends.

    cyclonedds' own holds the interpreter's lock meanwhile: several milliseconds for an image, and
    the whole blocking time where a reliable reader does not keep up. ctypes gives the lock back.
    """

    is_free = importlib.metadata.version("cyclonedds") in _CDR_KNOWN_OF

    def write_cdr(self, cdr: bytes) -> None:
        """Send.

        Raises:
            DDSException: refused, or no room in time.
        """
        if not self.is_free:
            self.write(self.topic.data_type(cdr))
            return
        sample = _Cdr(ctypes.cast(ctypes.c_char_p(cdr), ctypes.c_void_p), len(cdr))
        result = self._dds_write(self._ref, ctypes.byref(sample))  # pyright: ignore[reportCallIssue]
        if result < 0:
            raise DDSException(result, f"Occurred while writing to {self.topic.name}")

    @c_call("dds_write")
    def _dds_write(
        self,
        writer: dds_c_t.entity,
        sample: ctypes.POINTER(_Cdr),  # pyright: ignore[reportInvalidTypeForm]
    ) -> dds_c_t.returnv:  # pyright: ignore[reportReturnType]
        pass


class Endpoint:
    """A reader or writer with its place in the wait set."""

    def __init__(self, participant: "Participant", entity: Any, topic: Topic) -> None:
        self._participant = participant
        self._entity = entity
        self._topic = topic
        participant.endpoints.add(self)
        self.gid: bytes = entity.guid.bytes
        """The 16 bytes that name this endpoint on the network."""
        self.handle: int = entity.instance_handle & (2**64 - 1)
        """Cyclone's instance handle, unsigned."""

    def _alive(self) -> Any:
        entity = self._entity
        if entity is None:
            raise InvalidHandle("the publisher, subscription or service was destroyed")
        return entity

    @property
    def is_closed(self) -> bool:
        """True after `close`."""
        return self._entity is None

    def forget(self) -> None:
        """The participant has deleted the entity along with itself."""
        entity, self._entity = self._entity, None
        if entity is not None:
            Entity._entities.pop(entity._ref, None)

    def close(self) -> None:
        """Leave the network; twice does no harm."""
        entity, self._entity = self._entity, None
        if entity is not None:
            self._participant.unwatch(entity)
            delete_entity(entity)
            self._participant.release_topic(self._topic)


class Writer(Endpoint):
    """Sends CDR bytes."""

    def write(self, cdr: bytes) -> bool:
        """Send; False when a slow reliable reader left no room within the blocking time.

        Raises:
            RCLError: Cyclone refused the bytes, which then are not CDR of this type.
            InvalidHandle: after `close`.
        """
        entity = self._alive()
        try:
            entity.write_cdr(cdr)
        except DDSException as error:
            if error.code == DDSException.DDS_RETCODE_TIMEOUT:
                return False
            if self._entity is None:
                raise InvalidHandle("the publisher was destroyed while it published") from error
            raise RCLError(
                f"{entity.topic.name}: Cyclone DDS refused {len(cdr)} bytes ({error}). Expected "
                f"CDR of {entity.topic.typename} with its 4-byte header."
            ) from error
        return True

    def matched_count(self) -> int:
        """Number of readers that get what is written here."""
        return self._alive().get_publication_matched_status().current_count

    def matched_readers(self) -> list[tuple[bytes, bytes]]:
        """Participant key and USER_DATA of every matched reader."""
        entity = self._alive()
        found = (entity.get_matched_subscription_data(h) for h in entity.matched_sub)
        return [(d.participant_key.bytes, user_data_of(d.qos)) for d in found if d is not None]

    def wait_for_acks(self, timeout_s: float) -> bool:
        """True once every reliable reader has everything."""
        entity = self._alive()
        result = entity._wait_for_acks(entity._ref, int(timeout_s * 1e9))
        return result == 0

    def incompatible_status(self) -> Any:
        """Counts of readers that asked for more than this writer offers."""
        return self._alive().get_offered_incompatible_qos_status()

    def matched_status(self) -> Any:
        """Counts of matched readers, total and current."""
        return self._alive().get_publication_matched_status()


class Reader(Endpoint):
    """Hands out CDR bytes."""

    def take(self) -> tuple[bytes, Any] | None:
        """The oldest waiting sample and its info, or None."""
        while True:
            entity = self._entity
            if entity is None:
                return None
            try:
                samples = entity.take(N=1)
            except DDSException:
                if self._entity is None:
                    return None
                raise
            if not samples:
                return None
            if not isinstance(samples[0], InvalidSample):
                return samples[0].cdr, samples[0].sample_info

    def matched_count(self) -> int:
        """Number of writers this reader hears."""
        return self._alive().get_subscription_matched_status().current_count

    def matched_writer(self, handle: int) -> tuple[bytes, bytes] | None:
        """Participant key and USER_DATA of the matched writer with that instance handle."""
        data = self._alive().get_matched_publication_data(handle)
        return None if data is None else (data.participant_key.bytes, user_data_of(data.qos))

    def incompatible_status(self) -> Any:
        """Counts of writers that offer less than this reader asks for."""
        return self._alive().get_requested_incompatible_qos_status()

    def matched_status(self) -> Any:
        """Counts of matched writers, total and current."""
        return self._alive().get_subscription_matched_status()


def user_data_of(qos: Qos) -> bytes:
    """The USER_DATA policy, empty where there is none."""
    return qos[Policy.Userdata].data if Policy.Userdata in qos else b""  # pyright: ignore[reportOptionalMemberAccess]


class Participant:
    """This process on one DDS domain."""

    def __init__(self, domain_id: int, user_data: bytes) -> None:
        self.domain_id = domain_id
        _open_domain(domain_id)
        try:
            self.entity = DomainParticipant(domain_id, Qos(Policy.Userdata(user_data)))
        except DDSException as error:
            _close_domain(domain_id)
            raise RCLError(
                f"Cyclone DDS cannot open domain {domain_id}: {error}. Check CYCLONEDDS_URI, "
                "ROS_DOMAIN_ID and that a network interface is up."
            ) from error
        self.gid: bytes = self.entity.guid.bytes
        self._publisher = Publisher(self.entity)
        self._subscriber = Subscriber(self.entity)
        self.endpoints: weakref.WeakSet[Endpoint] = weakref.WeakSet()
        self._topics: dict[tuple[str, str], Topic] = {}
        self._topic_users: Counter[Topic] = Counter()
        self._watched: dict[int, tuple[Any, int, Callable[[int], None]]] = {}
        self._lock = threading.RLock()
        self._is_closed = False
        self._waitset = _TellingWaitSet(self.entity)
        self._guard = GuardCondition(self.entity)
        self._waitset.attach_as(self._waitset._ref, self._guard._ref, self._guard._ref)  # pyright: ignore[reportCallIssue]
        self._thread = threading.Thread(target=self._watch, name="rclpy_lite_dds", daemon=True)
        self._thread.start()

    def _use_topic(self, name: str, sample_type: Any) -> Topic:
        """The topic of that name and type, counted as used until ``release_topic``."""
        key = (name, sample_type.__idl_typename__)
        with self._lock:
            if key not in self._topics:
                try:
                    self._topics[key] = Topic(self.entity, name, sample_type)
                except DDSException as error:
                    raise RCLError(
                        f"{name}: cannot be used with type {key[1]} ({error}). "
                        "A topic has one type per process."
                    ) from error
            topic = self._topics[key]
            self._topic_users[topic] += 1
            return topic

    def release_topic(self, topic: Topic) -> None:
        """An endpoint is gone; the topic goes with the last one, as names may be many."""
        with self._lock:
            self._topic_users[topic] -= 1
            if self._topic_users[topic] or self._is_closed:
                return
            del self._topic_users[topic]
            self._topics = {key: known for key, known in self._topics.items() if known != topic}
            delete_entity(topic)

    def create_writer(
        self, topic: str, sample_type: type, qos: Qos, on_change: Callable[[int], None]
    ) -> Writer:
        """A writer; ``on_change`` gets the status bits that were raised."""
        used = self._use_topic(topic, sample_type)
        try:
            entity = _FreeWriter(self._publisher, used, qos)
        except DDSException:
            self.release_topic(used)
            raise
        writer = Writer(self, entity, used)
        mask = DDSStatus.OfferedIncompatibleQos | DDSStatus.PublicationMatched
        self.watch(entity, mask, on_change)
        return writer

    def create_reader(
        self, topic: str, sample_type: type, qos: Qos, on_change: Callable[[int], None]
    ) -> Reader:
        """A reader; ``on_change`` gets the status bits that were raised."""
        used = self._use_topic(topic, sample_type)
        try:
            entity = DataReader(self._subscriber, used, qos)
        except DDSException:
            self.release_topic(used)
            raise
        reader = Reader(self, entity, used)
        mask = (
            DDSStatus.DataAvailable
            | DDSStatus.RequestedIncompatibleQos
            | DDSStatus.SubscriptionMatched
        )
        self.watch(entity, mask, on_change)
        return reader

    def watch(self, entity: Any, mask: int, on_change: Callable[[int], None]) -> None:
        """Call ``on_change`` from the watching thread whenever a status of ``mask`` is raised."""
        with self._lock:
            self._watched[entity._ref] = (entity, mask, on_change)
            entity.set_status_mask(mask)
            result = self._waitset.attach_as(self._waitset._ref, entity._ref, entity._ref)  # pyright: ignore[reportCallIssue]
        if result < 0:
            raise RCLError(f"Cyclone DDS cannot watch {entity}: {DDSException(result)}")

    def unwatch(self, entity: Any) -> None:
        """Forget an entity that is about to be deleted."""
        with self._lock:
            if self._watched.pop(entity._ref, None) is not None and not self._is_closed:
                self._waitset.detach_ref(self._waitset._ref, entity._ref)  # pyright: ignore[reportCallIssue]

    def _watch(self) -> None:
        tokens = (ctypes.c_ssize_t * _WAITSET_SLOTS)()
        waitset = self._waitset
        while not self._is_closed:
            woken = waitset.wait_tokens(waitset._ref, tokens, _WAITSET_SLOTS, _FOREVER_NS)  # pyright: ignore[reportCallIssue]
            if woken < 0:
                if not self._is_closed:
                    _log.error("waiting on Cyclone DDS failed: %s", DDSException(woken))
                return
            for token in self._in_order_of_creation(tokens[: min(woken, _WAITSET_SLOTS)]):
                self._tell(token)

    def _in_order_of_creation(self, tokens: list[int]) -> list[int]:
        """Known tokens, older entities first, as rclpy serves subscriptions that wait together."""
        with self._lock:
            if len(tokens) == 1:
                return tokens
            raised = set(tokens)
            return [token for token in self._watched if token in raised]

    def _tell(self, token: int) -> None:
        with self._lock:
            watched = self._watched.get(token)
        if watched is None:
            return
        entity, mask, on_change = watched
        try:
            # Clearing first and telling afterwards loses no wake-up: what arrives in between
            # raises the status again.
            raised = entity.take_status(mask)
        except DDSException:
            return  # Deleted in the meantime.
        if raised:
            try:
                on_change(raised)
            except Exception:
                _log.exception("handling a DDS event failed")

    def close(self) -> None:
        """Leave the domain, telling the peers now instead of letting a lease run out."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self._guard.set(True)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5.0)
        delete_entity(self._waitset)
        delete_entity(self.entity)
        for endpoint in list(self.endpoints):
            endpoint.forget()
        _close_domain(self.domain_id)
