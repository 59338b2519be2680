"""Message classes by type name, with whichever client library is in use."""

from importlib import import_module


def message_class(typename: str) -> type:
    """The class of ``package/msg/Name``.

    Raises:
        LookupError: the package is not installed, or has no such message.
    """
    package, _, rest = typename.partition("/")
    kind, _, name = rest.partition("/")
    try:
        return getattr(import_module(f"{package}.{kind}"), name)
    except (ImportError, AttributeError) as error:
        raise LookupError(
            f"{typename} is unknown here; expected its package to be installed. Install {package}."
        ) from error
