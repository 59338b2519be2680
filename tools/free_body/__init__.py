"""The parts of the free body's build; ``tools/build_free_body.py`` puts them together."""
