"""Signals that end the command: they unwind the stack, so that no file is left half written."""

import gc
import signal
import sys
import threading
from types import FrameType

_SOON = 0.02
"""In seconds."""


def catch() -> None:
    """Let signals end the command wherever it is, but those that whoever started it ignores."""
    own = {
        "SIGINT": signal.default_int_handler,
        "SIGTERM": signal.SIG_DFL,
        "SIGHUP": signal.SIG_DFL,
    }
    for name, default in own.items():
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == default:
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    if _is_unheard(frame):
        again = threading.Timer(_SOON, signal.raise_signal, [number])
        again.daemon = True
        again.start()
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        sys.exit(128 + number)


def _is_unheard(frame: FrameType | None) -> bool:
    """Whether Python only prints what is raised here, in a callback of its garbage collector or a `__del__`."""
    callbacks = {getattr(callback, "__code__", None) for callback in gc.callbacks}
    while frame is not None:
        if frame.f_code in callbacks or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
