"""Signals that end the command: they unwind the stack, so that no file is left half written."""

import gc
import signal
import sys
import threading
from types import FrameType

_SOON = 0.02
"""In seconds."""

_OF_C = {"ExtensionFileLoader.create_module", "ExtensionFileLoader.exec_module"}
"""What imports a module of C, of which some lose errors."""


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
        again = threading.Timer(_SOON, _send, [number])
        again.daemon = True
        again.start()
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        sys.exit(128 + number)


def _send(number: int) -> None:
    if hasattr(signal, "pthread_kill"):  # which ends a sleep as well
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)


def _is_unheard(frame: FrameType | None) -> bool:
    """Whether what is raised here is lost: in the garbage collector, in a `__del__`, in a module of C that begins."""
    callbacks = {getattr(callback, "__code__", None) for callback in gc.callbacks}
    while frame is not None:
        code = frame.f_code
        if code in callbacks or code.co_name == "__del__" or code.co_qualname in _OF_C:
            return True
        frame = frame.f_back
    return False
