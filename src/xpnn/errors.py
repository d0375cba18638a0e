"""The errors that xpnn raises: each is also the built-in error that people catch."""

__all__ = ["XpnnError", "XpnnIndexError", "XpnnTypeError", "XpnnValueError"]


class XpnnError(Exception):
    """Base of every error that xpnn raises on purpose."""


class XpnnTypeError(XpnnError, TypeError):
    """An argument of the wrong kind: a list for an array, bool or complex values, mixed libraries."""


class XpnnValueError(XpnnError, ValueError):
    """An argument of the right kind with a wrong value, shape or content; also a bad file."""


class XpnnIndexError(XpnnError, IndexError):
    """An index beyond what it points into."""


class NotReproducibleError(XpnnError, AttributeError, NotImplementedError):
    """Something that cannot give the same bits on every backend was asked of the reproducible way."""
