"""The scene of one image: metric depth along the rays of a known camera."""
