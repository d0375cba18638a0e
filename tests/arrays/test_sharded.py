"""JAX's arrays that are sharded over four devices, and over two processes, in all three ways."""

import os
import socket
import subprocess
import sys

import pytest


def run(request, *arguments, devices=4):
    env = dict(os.environ, JAX_PLATFORMS="cpu")
    env["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=env,
        cwd=request.path.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fast", "plain", "reproducible"])
def test_four_devices(way, jax, request):
    """All cases of a way in one process, as the devices are asked for before JAX starts."""
    out, errors = run(request, "sharded_cases.py", way).communicate()
    lines = out.splitlines()
    assert not [line for line in lines if not line.startswith(("ok ", "all "))], out
    assert lines[-1:] == [f"all {len(lines) - 1}"], errors
    assert len(lines) > 24


@pytest.mark.slow
def test_two_processes(jax, request):
    """Arrays of which each process holds the half; the processes talk by gloo."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = str(one.getsockname()[1])
    both = [run(request, "sharded_hosts.py", port, rank, devices=2) for rank in ("0", "1")]
    for process in both:
        out, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert out.splitlines()[-1] == "all", out
