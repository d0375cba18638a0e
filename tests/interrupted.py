"""`xpnn` in a process of its own, which a signal ends as soon as it has begun to write, or a full disk."""

import subprocess
import sys
import time

import numpy as np


def sparse(path, rows):
    """A .npy file of zeros that takes no room on the disk."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (rows, 784)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + rows * 784)


def room_for(size):
    """Python's code after which no file may be larger, as on a disk that is full."""
    return (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
    )


def ran_after(prepared, *arguments, folder, options=(), stdout=subprocess.PIPE):
    """Run `xpnn` with these arguments to its end, in a folder, after some code of Python."""
    command = f"import sys; sys.argv = {['xpnn', *arguments]}; from xpnn.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-B", *options, "-c", f"{prepared}\n{command}"],
        cwd=folder,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


def as_process(*arguments):
    """`xpnn` with these arguments, as a command that SIGINT interrupts."""
    # A shell starts its background jobs, and so all that they start, with SIGINT ignored.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        f"sys.argv = {['xpnn', *arguments]}; from xpnn.cli import main; main()"
    )
    return [sys.executable, "-c", code]


def interrupt(predict, folder, number, begun):
    """Run a command that reads x.npy; send it a signal once the output has `begun`; hold it to leave nothing."""
    with subprocess.Popen(predict, cwd=folder, stderr=subprocess.PIPE, text=True) as running:
        for _ in range(6000):
            if any(map(begun, folder.glob(".xpnn-*.part"))):
                break
            time.sleep(0.01)
        assert running.poll() is None
        running.send_signal(number)
        _, errors = running.communicate(timeout=60)
    assert running.returncode != 0
    assert "Traceback" not in errors
    assert [p.name for p in folder.iterdir()] == ["x.npy"]
