"""The half of a node that makes and removes publishers, subscriptions, services, timers."""

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

from rclpy_lite import names
from rclpy_lite.callback_groups import CallbackGroup, MutuallyExclusiveCallbackGroup
from rclpy_lite.client import Client
from rclpy_lite.clock import Clock
from rclpy_lite.event_handler import (
    EndpointEvents,
    PublisherEventCallbacks,
    SubscriptionEventCallbacks,
    default_incompatible_callback,
)
from rclpy_lite.exceptions import InvalidHandle
from rclpy_lite.graph import service_user_data
from rclpy_lite.guard_condition import GuardCondition
from rclpy_lite.messages import type_hash, typename_of
from rclpy_lite.publisher import Publisher
from rclpy_lite.qos import QoSProfile, qos_profile_services_default, to_cyclone, to_profile
from rclpy_lite.qos_overriding_options import QoSOverridingOptions, apply_overrides
from rclpy_lite.service import Service
from rclpy_lite.subscription import Subscription
from rclpy_lite.timer import Rate, Timer
from rclpy_lite.transport.idl_types import SERVICE_HEADER_FIELDS, idl_type
from rclpy_lite.waitable import Waitable

_service_counter = itertools.count(1)


class NodeEntities:
    """Makes and removes entities; a base of `Node`."""

    _context: Any
    _clock: Any
    _logger: Any
    _default_callback_group: CallbackGroup
    _wake: Callable[[], None]
    resolve_topic_name: Callable[..., str]
    resolve_service_name: Callable[..., str]

    def _init_entities(self) -> None:
        self._lock = threading.RLock()
        self._is_destroyed = False
        self._publishers: list[Publisher] = []
        self._subscriptions: list[Subscription] = []
        self._clients: list[Client] = []
        self._services: list[Service] = []
        self._timers: list[Timer] = []
        self._guards: list[GuardCondition] = []
        self._waitables: list[Waitable] = []
        self._runnable: tuple[Waitable, ...] = ()

    @property
    def publishers(self) -> Iterator[Publisher]:
        """The node's publishers."""
        yield from self._publishers

    @property
    def subscriptions(self) -> Iterator[Subscription]:
        """The node's subscriptions."""
        yield from self._subscriptions

    @property
    def clients(self) -> Iterator[Client]:
        """The node's clients."""
        yield from self._clients

    @property
    def services(self) -> Iterator[Service]:
        """The node's services."""
        yield from self._services

    @property
    def timers(self) -> Iterator[Timer]:
        """The node's timers."""
        yield from self._timers

    @property
    def guards(self) -> Iterator[GuardCondition]:
        """The node's guard conditions."""
        yield from self._guards

    @property
    def waitables(self) -> Iterator[Waitable]:
        """The node's other waitables."""
        yield from self._waitables

    # Making entities.

    def _require_alive(self) -> None:
        if self._is_destroyed:
            raise InvalidHandle(f"node {self._name} was destroyed")  # pyright: ignore[reportAttributeAccessIssue]

    def _announce(self) -> None:
        record = getattr(self, "_graph_record", None)
        if record is None or not self._context.ok():
            return
        with self._lock:
            endpoints = [*self._services, *self._clients]
            record.readers = {
                s._reader.gid for s in [*self._subscriptions, *endpoints] if s._reader
            }
            record.writers = {p._writer.gid for p in [*self._publishers, *endpoints] if p._writer}
        # During construction the node is announced once, at the end.
        if hasattr(self, "_time_source"):
            self._context.graph.announce()

    def _changed(self) -> None:
        with self._lock:
            events = [
                handler
                for owner in [*self._publishers, *self._subscriptions]
                for handler in owner.event_handlers
            ]
            self._runnable = (
                *self._timers,
                *self._subscriptions,
                *self._guards,
                *self._services,
                *self._clients,
                *events,
                *self._waitables,
            )
        self._wake()

    def _add(self, kind: list[Any], entity: Any, is_endpoint: bool = True) -> None:
        with self._lock:
            kind.append(entity)
        self._changed()
        if is_endpoint:
            self._announce()

    def _remove(self, kind: list[Any], entity: Any, is_endpoint: bool = True) -> bool:
        with self._lock:
            if entity not in kind:
                return False
            kind.remove(entity)
        self._changed()
        entity.destroy()
        if is_endpoint:
            self._announce()
        return True

    def create_publisher(
        self,
        msg_type: type,
        topic: str,
        qos_profile: QoSProfile | int,
        *,
        callback_group: CallbackGroup | None = None,
        event_callbacks: PublisherEventCallbacks | None = None,
        qos_overriding_options: QoSOverridingOptions | None = None,
        publisher_class: type = Publisher,
    ) -> Any:
        """A publisher on a topic."""
        self._require_alive()
        typename = typename_of(msg_type)
        name = self.resolve_topic_name(topic)
        profile = apply_overrides(
            self, "publisher", name, to_profile(qos_profile), qos_overriding_options
        )
        group = callback_group or self._default_callback_group
        callbacks = event_callbacks or PublisherEventCallbacks()
        warn = default_incompatible_callback(self._logger, name, is_publisher=True)
        writer_of: list[Any] = [None]
        events = EndpointEvents(lambda: writer_of[0], callbacks, group, self._wake, warn)
        user_data = f"typehash={type_hash(typename)};".encode()
        writer_of[0] = writer = self._context.participant.create_writer(
            names.dds_topic_name(name),
            idl_type(typename),
            to_cyclone(profile, user_data, True, False),
            events.on_status,
        )
        publisher = publisher_class(self, writer, msg_type, name, profile, events)
        self._add(self._publishers, publisher)
        return publisher

    def create_subscription(
        self,
        msg_type: type,
        topic: str,
        callback: Callable[..., Any],
        qos_profile: QoSProfile | int,
        *,
        callback_group: CallbackGroup | None = None,
        event_callbacks: SubscriptionEventCallbacks | None = None,
        qos_overriding_options: QoSOverridingOptions | None = None,
        raw: bool = False,
        content_filter_options: Any = None,
    ) -> Subscription:
        """A subscription to a topic; with ``raw`` the callback gets CDR bytes."""
        self._require_alive()
        if content_filter_options is not None:
            raise NotImplementedError("content filtered topics")
        typename = typename_of(msg_type)
        name = self.resolve_topic_name(topic)
        profile = apply_overrides(
            self, "subscription", name, to_profile(qos_profile), qos_overriding_options
        )
        group = callback_group or self._default_callback_group
        subscription = Subscription(self, msg_type, name, callback, profile, raw, group)
        callbacks = event_callbacks or SubscriptionEventCallbacks()
        warn = default_incompatible_callback(self._logger, name, is_publisher=False)
        events = EndpointEvents(lambda: subscription._reader, callbacks, group, self._wake, warn)
        user_data = f"typehash={type_hash(typename)};".encode()
        reader = self._context.participant.create_reader(
            names.dds_topic_name(name),
            idl_type(typename),
            to_cyclone(profile, user_data, False, False),
            subscription.on_status,
        )
        subscription.attach(reader, events)
        for handler in events.handlers:
            handler.mark_ready()
        self._add(self._subscriptions, subscription)
        return subscription

    def _attach_service(self, endpoint: Any, role: bytes) -> None:
        """Reader and writer of a server (reads requests) or client (reads replies)."""
        participant = self._context.participant
        typename = typename_of(endpoint.srv_type)
        request_topic, reply_topic = names.dds_service_names(endpoint.srv_name)
        request = idl_type(f"{typename}_Request", SERVICE_HEADER_FIELDS)
        response = idl_type(f"{typename}_Response", SERVICE_HEADER_FIELDS)
        is_server = role == b"serviceid"
        user_data = service_user_data(
            role, participant.gid, next(_service_counter), type_hash(typename)
        )
        profile = endpoint.qos_profile
        writer = participant.create_writer(
            reply_topic if is_server else request_topic,
            response if is_server else request,
            to_cyclone(profile, user_data, True, False),
            lambda _: None,
        )
        reader = participant.create_reader(
            request_topic if is_server else reply_topic,
            request if is_server else response,
            to_cyclone(profile, user_data, False, False),
            endpoint.on_status,
        )
        endpoint.attach(reader, writer)

    def create_service(
        self,
        srv_type: Any,
        srv_name: str,
        callback: Callable[[Any, Any], Any],
        *,
        qos_profile: QoSProfile = qos_profile_services_default,
        callback_group: CallbackGroup | None = None,
    ) -> Service:
        """A server; the callback gets request and response and returns the response."""
        self._require_alive()
        group = callback_group or self._default_callback_group
        name = self.resolve_service_name(srv_name)
        service = Service(self, srv_type, name, callback, to_profile(qos_profile), group)
        self._attach_service(service, b"serviceid")
        self._add(self._services, service)
        return service

    def create_client(
        self,
        srv_type: Any,
        srv_name: str,
        *,
        qos_profile: QoSProfile = qos_profile_services_default,
        callback_group: CallbackGroup | None = None,
    ) -> Client:
        """A client of a service."""
        self._require_alive()
        group = callback_group or self._default_callback_group
        name = self.resolve_service_name(srv_name)
        client = Client(self, srv_type, name, to_profile(qos_profile), group)
        self._attach_service(client, b"clientid")
        self._add(self._clients, client)
        return client

    def create_timer(
        self,
        timer_period_sec: float,
        callback: Callable[..., Any] | None,
        callback_group: CallbackGroup | None = None,
        clock: Clock | None = None,
        autostart: bool = True,
    ) -> Timer:
        """A periodic callback, by the node's clock unless another is given."""
        self._require_alive()
        timer = Timer(
            callback,  # type: ignore[arg-type]
            callback_group or self._default_callback_group,
            int(float(timer_period_sec) * 1e9),
            clock or self._clock,
            wake=self._wake,
            autostart=autostart,
        )
        self._add(self._timers, timer, is_endpoint=False)
        return timer

    def create_guard_condition(
        self, callback: Callable[[], Any], callback_group: CallbackGroup | None = None
    ) -> GuardCondition:
        """A callback that any thread can ask for."""
        self._require_alive()
        group = callback_group or self._default_callback_group
        guard = GuardCondition(callback, group, self._wake)
        self._add(self._guards, guard, is_endpoint=False)
        return guard

    def create_rate(self, frequency: float, clock: Clock | None = None) -> Rate:
        """Something to sleep on in a loop of fixed rate; spin the node elsewhere."""
        if frequency <= 0:
            raise ValueError("frequency must be > 0")
        timer = self.create_timer(1.0 / frequency, None, MutuallyExclusiveCallbackGroup(), clock)
        return Rate(timer, context=self._context)

    # Removing entities.

    def destroy_publisher(self, publisher: Publisher) -> bool:
        """Remove a publisher."""
        return self._remove(self._publishers, publisher)

    def destroy_subscription(self, subscription: Subscription) -> bool:
        """Remove a subscription."""
        return self._remove(self._subscriptions, subscription)

    def destroy_client(self, client: Client) -> bool:
        """Remove a client."""
        return self._remove(self._clients, client)

    def destroy_service(self, service: Service) -> bool:
        """Remove a service."""
        return self._remove(self._services, service)

    def destroy_timer(self, timer: Timer) -> bool:
        """Remove a timer."""
        return self._remove(self._timers, timer, is_endpoint=False)

    def destroy_guard_condition(self, guard: GuardCondition) -> bool:
        """Remove a guard condition."""
        return self._remove(self._guards, guard, is_endpoint=False)

    def destroy_rate(self, rate: Rate) -> bool:
        """Remove a rate."""
        rate.destroy()
        return self._remove(self._timers, rate._timer, is_endpoint=False)
