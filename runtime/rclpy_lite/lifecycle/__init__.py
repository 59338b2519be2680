"""Managed nodes, under the names of rclpy.lifecycle."""

from rclpy_lite.lifecycle.managed_entity import ManagedEntity, SimpleManagedEntity
from rclpy_lite.lifecycle.node import LifecycleNode, LifecycleNodeMixin
from rclpy_lite.lifecycle.publisher import LifecyclePublisher
from rclpy_lite.lifecycle.state_machine import LifecycleState, TransitionCallbackReturn

Node = LifecycleNode
NodeMixin = LifecycleNodeMixin
Publisher = LifecyclePublisher
State = LifecycleState

__all__ = [
    "LifecycleNode",
    "LifecycleNodeMixin",
    "LifecyclePublisher",
    "LifecycleState",
    "ManagedEntity",
    "Node",
    "NodeMixin",
    "Publisher",
    "SimpleManagedEntity",
    "State",
    "TransitionCallbackReturn",
]
