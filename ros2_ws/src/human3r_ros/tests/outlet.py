"""Takes the place of the node's publishers."""

from rclpy.serialization import deserialize_message, serialize_message


def through_cdr(message):
    """The message as it comes off the wire."""
    return deserialize_message(serialize_message(message), type(message))


class Outlet:
    """Keeps what is sent, as it comes off the wire; raises for the names in ``broken``.

    Args:
        is_listening: whether somebody wants the large outputs.
    """

    def __init__(self, *, is_listening: bool):
        self.sent, self.broken = [], set()
        self._is_listening = is_listening

    def is_wanted(self, name):
        return self._is_listening

    def send(self, name, message):
        if name in self.broken:
            raise OverflowError(f"{name} does not fit")
        self.sent.append((name, through_cdr(message)))

    def send_transform(self, transform):
        self.sent.append(("tf", transform))

    def of(self, name):
        return [message for sent, message in self.sent if sent == name]
