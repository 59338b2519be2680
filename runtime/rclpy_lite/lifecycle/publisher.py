"""Publishers that are silent unless their node is active."""

from typing import Any

from rclpy_lite.lifecycle.managed_entity import SimpleManagedEntity
from rclpy_lite.publisher import Publisher


class LifecyclePublisher(SimpleManagedEntity, Publisher):
    """Made by `LifecycleNodeMixin.create_lifecycle_publisher`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        SimpleManagedEntity.__init__(self)
        Publisher.__init__(self, *args, **kwargs)

    @SimpleManagedEntity.when_enabled
    def publish(self, msg: Any) -> None:
        """Send, or do nothing while the node is not active."""
        Publisher.publish(self, msg)
