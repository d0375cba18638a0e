"""DTensors, of which two processes have a part each, and training on both: one start of two, with all checks."""

import contextlib
import datetime as dt
import functools
import subprocess
import sys
import traceback

import numpy as np
import pytest
from golden_cases import layered, samples
from networks import random_network

import xpnn
from xpnn._activations.table import ACTIVATIONS

X = (np.random.default_rng(0).normal(size=(7, 6)) * 2).astype("float32")
NETWORK = functools.partial(random_network, (6, 5, 4), "mish", "softmax")
CHECKS = []
OF_TWO = []


def check(f, checks=CHECKS):
    """Run it in each process; it is given torch, what parts an array along axes, and the rank."""
    checks.append(f)
    return f


def check_of_two(f):
    """Run it where there are two processes."""
    return check(f, OF_TWO)


def ways(torch):
    """The ways of torch, with NumPy's of the same numbers or of those within a bound."""
    yield {}, {}, 1e-5
    yield {"xp": torch}, {}, 1e-5
    yield {"xp": xpnn.reproducible(torch)}, {"xp": xpnn.reproducible(np)}, 0


def hold(y, expected, rtol, x):
    """Hold a DTensor to an array: as sharded as x."""
    assert y.placements == x.placements, (y.placements, x.placements)
    got = y.full_tensor().detach().cpu().numpy()
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol / 10)


@check
def functions_in_every_way(torch, part, rank):
    of_rows = {"softmax", "log_softmax"}
    for axis in (0, 1):
        x = part(X, axis)
        for on_torch, on_numpy, rtol in ways(torch):
            for name, f in ACTIVATIONS.items():
                options = {"axis": 1 - axis} if name in of_rows else {}
                hold(f(x, **options, **on_torch), f(X, **options, **on_numpy), rtol, x)


@check
def sums_along_other_axes(torch, part, rank):
    samples, mask = X.reshape(7, 2, 3), np.arange(42).reshape(7, 2, 3) % 3 > 0
    x, where = part(samples, 0), part(mask, 0)
    for on_torch, on_numpy, rtol in ways(torch):
        for axis in (1, -1, (1, 2)):
            for keepdims in (False, True):
                options = {"axis": axis, "keepdims": keepdims}
                y = xpnn.logsumexp(x, **options, **on_torch)
                hold(y, xpnn.logsumexp(samples, **options, **on_numpy), rtol, x)
            y = xpnn.softmax(x, axis=axis, where=where, **on_torch)
            hold(y, xpnn.softmax(samples, axis=axis, where=mask, **on_numpy), rtol, x)
            options = {"axis": axis, "return_sign": True}
            got = xpnn.logsumexp(x, b=part(samples, 0), where=where, **options, **on_torch)
            expected = xpnn.logsumexp(samples, b=samples, where=mask, **options, **on_numpy)
            for y, one in zip(got, expected, strict=True):
                hold(y, one, 10 * rtol, x)
    # The first of two axes leaves: the second is the first of the result.
    y = xpnn.logsumexp(part(samples, 1), axis=0)
    assert y.placements[0].dim == 0
    np.testing.assert_allclose(y.full_tensor().cpu(), xpnn.logsumexp(samples, axis=0), rtol=1e-5)


@check
def networks_in_every_way(torch, part, rank):
    network = NETWORK()
    for x in (part(X, 0), part(X, None)):
        for on_torch, on_numpy, rtol in ways(torch):
            for _ in "12":  # planned, and run again
                hold(network(x, **on_torch), network(X, **on_numpy), rtol, x)
            hold(network.log_proba(x, **on_torch), network.log_proba(X, **on_numpy), rtol, x)
            hold(network.classify(x, **on_torch), network.classify(X), 0, x)
            each = network.layer_outputs(X, **on_numpy)
            for pair, both in zip(network.layer_outputs(x, **on_torch), each, strict=True):
                for y, expected in zip(pair, both, strict=True):
                    hold(y, expected, 10 * rtol, x)
            stays = network.to(torch, device=part.mesh.device_type)
            hold(stays(x, **on_torch), network(X, **on_numpy), rtol, x)
        hold(xpnn.error_bound(network, x), xpnn.error_bound(network, X), 1e-9, x)
        hold(network.classify(x, certain=True)[1], network.classify(X, certain=True)[1], 0, x)
    assert xpnn.parity(network, part(X, 0), backends=["torch"]).passed


@check
def every_layer(torch, part, rank):
    rxp, own = xpnn.reproducible(torch), xpnn.reproducible(np)
    for kind in ("layer_norm", "residual", "flatten"):
        network, rows = layered(kind, "float32"), samples(kind, X[:, :5])
        x = part(rows, 0)
        hold(network(x), network(rows), 1e-5, x)
        hold(network(x, xp=rxp), network(rows, xp=own), 0, x)


@check
def fewer_rows_than_processes(torch, part, rank):
    for rows in (X[:1], X[:0]):
        x = part(rows, 0)
        for on_torch, on_numpy, rtol in ways(torch):
            hold(NETWORK()(x, **on_torch), NETWORK()(rows, **on_numpy), rtol, x)


@check
def linear(torch, part, rank):
    weight = np.random.default_rng(1).normal(size=(6, 6)).astype("float32")
    for on_torch, on_numpy, rtol in ways(torch):
        for given in (torch.asarray(weight).to(part.mesh.device_type), part(weight, None)):
            x = part(X, 0)
            hold(
                xpnn.linear(x, given, **on_torch), xpnn.linear(X, weight, **on_numpy), 10 * rtol, x
            )


@check
def derivatives(torch, part, rank):
    network, plain = NETWORK(), torch.asarray(X).requires_grad_()
    (expected,) = torch.autograd.grad(network.log_proba(plain)[:, 0].sum(), plain)
    for on_torch, _, _ in ways(torch):
        x = part(X, 0).requires_grad_()
        (g,) = torch.autograd.grad(network.log_proba(x, **on_torch)[:, 0].sum(), x)
        hold(g, expected.numpy(), 1e-4, x)


@check
def compiled(torch, part, rank):
    for on_torch, on_numpy, rtol in ways(torch):
        network, x = NETWORK(), part(X, 0)
        one = functools.partial(network.__call__, **on_torch)
        function = torch.compile(one, fullgraph=True, backend="aot_eager")
        hold(function(x), network(X, **on_numpy), rtol, x)


@check_of_two
def a_module_with_parameters_in_both(torch, part, rank):
    module = torch.distributed.tensor.distribute_module(NETWORK().to_torch(), part.mesh)
    hold(module(part(X, 0)), NETWORK()(X), 1e-5, part(X, 0))


@check_of_two
def what_is_refused_says_what_mends_it(torch, part, rank):
    network, partial = NETWORK(), torch.distributed.tensor.Partial()
    summed = torch.distributed.tensor.DTensor.from_local(torch.asarray(X), part.mesh, [partial])
    for call, names, mended in (
        (network, "network: ", "[Shard(dim=0)]"),
        (lambda x: network(x, xp=xpnn.reproducible(torch)), "network: ", "[Shard(dim=0)]"),
        (network.layer_outputs, "network.layer_outputs: ", "[Shard(dim=0)]"),
        (functools.partial(xpnn.error_bound, network), "error_bound: ", "[Shard(dim=0)]"),
        (xpnn.softmax, "softmax: ", "[Shard(dim=0)]"),
        (xpnn.logsumexp, "logsumexp: ", "[Replicate()]"),
        (lambda x: xpnn.relu(summed), "relu: ", "[Shard(dim=0)]"),
    ):
        with pytest.raises(xpnn.XpnnValueError) as error:
            call(part(X, 1))
        assert names in str(error.value)
        assert f"x.redistribute(placements={mended})" in str(error.value), error.value
    for where in (torch.asarray(X > 0), part(X > 0, None)):
        with pytest.raises(xpnn.XpnnValueError, match="distribute_tensor or redistribute"):
            xpnn.softmax(part(X, 0), where=where)
    with pytest.raises(xpnn.XpnnValueError, match="Replicate"):
        xpnn.linear(part(X, 0), part(X[:6], 0))


@check_of_two
def gradients_of_both_are_averaged(torch, part, rank):
    rows, labels = torch.asarray(X[:6]), torch.arange(6) % 4

    def step(module, mine):
        loss = torch.nn.functional.nll_loss(module(rows[mine]).log(), labels[mine])
        loss.backward()
        torch.optim.SGD(module.parameters(), lr=0.1).step()
        return [p.grad for p in module.parameters()]

    parallel = torch.nn.parallel.DistributedDataParallel(NETWORK().to_torch())
    alone = NETWORK().to_torch()
    pairs = zip(step(parallel, slice(rank, None, 2)), step(alone, slice(None)), strict=True)
    for g, expected in pairs:
        torch.testing.assert_close(g, expected, rtol=1e-4, atol=1e-6)
    trained = xpnn.Network.from_torch(parallel)
    values = {n.removeprefix("module."): v for n, v in parallel.state_dict().items()}
    by_name = xpnn.Network.from_state_dict(values, {"0": "mish", "2": "softmax"})
    y = parallel.module(rows).detach().numpy()
    for network in (trained, by_name):
        np.testing.assert_allclose(network(X[:6]), y, rtol=1e-5)
        assert not np.array_equal(network.layers[0].weight, NETWORK().layers[0].weight)


@check_of_two
def parameters_of_which_each_has_a_part(torch, part, rank):
    module = NETWORK().to_torch()
    torch.distributed.fsdp.fully_shard(module, mesh=part.mesh)
    np.testing.assert_allclose(module(torch.asarray(X)).detach(), NETWORK()(X), rtol=1e-5)
    back = xpnn.Network.from_state_dict(module.state_dict(), {"0": "mish", "2": "softmax"})
    np.testing.assert_array_equal(back(X), NETWORK()(X))


def run(rank, store, processes=2, device="cpu"):
    """Run all checks in one of the processes; 1 if one fails."""
    import torch
    from torch import distributed
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    torch.set_num_threads(1)
    distributed.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        init_method=store,
        rank=rank,
        world_size=processes,
        timeout=dt.timedelta(seconds=60),
    )

    def part(a, axis):
        placement = Replicate() if axis is None else Shard(axis)
        return distribute_tensor(torch.asarray(a), part.mesh, [placement])

    part.mesh = distributed.init_device_mesh(device, (processes,))
    failed = 0
    for one in CHECKS + (OF_TWO if processes == 2 else []):
        try:
            one(torch, part, rank)
        except BaseException:  # noqa: BLE001 -- the other process goes on
            traceback.print_exc()
            print(f"{one.__name__} on {rank}", flush=True)
            failed = 1
    distributed.destroy_process_group()
    return failed


def hold_processes(request, store, processes, device):
    """Run the checks in that many processes."""
    path, code = (
        [str(request.path.parent), *sys.path],
        ("import sys; sys.path[:0] = {!r}; import test_dtensor; sys.exit(test_dtensor.run(*{!r}))"),
    )
    with contextlib.ExitStack() as running:
        started = [
            running.enter_context(
                subprocess.Popen(
                    [
                        *(sys.executable, "-W", "ignore", "-c"),
                        code.format(path, (rank, store.as_uri(), processes, device)),
                    ],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
            for rank in range(processes)
        ]
        try:
            said = [process.communicate(timeout=240)[0] for process in started]
        finally:
            for process in started:
                process.kill()
    assert [process.returncode for process in started] == [0] * processes, "\n".join(said)


@pytest.mark.slow
def test_two_processes(torch, tmp_path, request):
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("torch without gloo")
    hold_processes(request, tmp_path / "store", 2, "cpu")


@pytest.mark.slow
def test_one_gpu(backend, tmp_path, request):
    """Rows that lie on a mesh of one GPU, by NCCL."""
    if backend.name != "torch" or not backend.is_gpu:
        pytest.skip("two processes on the CPU show as much")
    hold_processes(request, tmp_path / "store", 1, "cuda")


def test_data_parallel(torch):
    """On the CPU it passes through."""
    module = torch.nn.DataParallel(NETWORK().to_torch())
    y = module(torch.asarray(X)).detach().cpu()
    np.testing.assert_allclose(y, NETWORK()(X), rtol=1e-5)
    back = xpnn.Network.from_torch(module)
    np.testing.assert_array_equal(back(X), NETWORK()(X))


@pytest.mark.slow
def test_the_example(torch, request):
    script = request.config.rootpath / "examples" / "torch_processes.py"
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "rows: (Shard(dim=0),) (8, 10) same bits: True" in done.stdout
    assert "trained: 45360 parameters" in done.stdout
