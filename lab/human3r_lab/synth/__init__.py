"""A synthetic world: dressed, moving people in rooms and outdoor lots, seen by moving cameras."""
