"""The scene as points, with and without people."""
