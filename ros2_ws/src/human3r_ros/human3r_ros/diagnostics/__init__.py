"""What the node says on ``/diagnostics``: facts gathered, rules applied, messages sent."""

TOPIC = "/diagnostics"
