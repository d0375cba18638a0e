"""predict on a Dask cluster of two worker processes: the same files as here, whatever becomes of workers."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
from interrupted import as_process, interrupt, sparse
from safetensors.numpy import save_file

import xpnn
from xpnn import models

pytestmark = pytest.mark.libraries

distributed = pytest.importorskip("distributed")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
zarr = pytest.importorskip("zarr")
pytest.importorskip("typer")

from typer.testing import CliRunner

from xpnn.cli import _cluster
from xpnn.cli._app import app

X, _ = models.sample("digits")
ROWS, BATCH = 1000, 64
NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def cluster():
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(processes=True, **options) as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Rows of three columns in every format, and a network that takes them."""
    place = tmp_path_factory.mktemp("rows")
    rng = np.random.default_rng(17)
    x = rng.normal(size=(ROWS, 3))
    x[rng.random(ROWS) < 0.1] = np.nan
    network = xpnn.Network.from_weights(
        [rng.normal(size=(3, 5)), rng.normal(size=(5, 2))], None, output="softmax"
    )
    named = {"classes": ["no", "yes"], "inputs": NAMES}
    xpnn.Network(network.layers, **named).save(place / "m.safetensors")
    np.save(place / "x.npy", x)
    np.save(place / "columns.npy", np.asfortranarray(x))
    np.savez(place / "x.npz", x=x)
    save_file({"x": x}, place / "x.safetensors")
    np.savetxt(place / "x.csv", x, delimiter=",")
    zarr.create_array(store=str(place / "x.zarr"), data=x, chunks=(150, 3))
    (place / "t").mkdir()
    for i in range(11):
        part = x[i * 100 : (i + 1) * 100]
        if len(part):
            table = pa.table({name: part[:, NAMES.index(name)] for name in "cab"})
            pq.write_table(table, place / "t" / f"{i}.parquet", row_group_size=40)
    return place


@pytest.fixture
def run(folder, monkeypatch):
    """run("predict", ...): the command's result, where the rows are."""
    monkeypatch.chdir(folder)
    # So that a thousand rows are many tiles.
    monkeypatch.setattr(_cluster, "_TILE", 8 * 3 * BATCH)

    def call(*arguments, code=0, **options):
        result = CliRunner().invoke(app, [str(a) for a in arguments], **options)
        assert result.exit_code == code, result.output
        assert not list(folder.glob(".xpnn-*"))
        return result

    return call


def content(path):
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in files}


def same_as_here(run, cluster, tmp_path, out, *arguments, **options):
    """Run a command here and on the cluster; they must write the same bytes."""
    command = ["predict", "m.safetensors", *arguments, "--batch-size", BATCH]
    here = run(*command, "-o", tmp_path / f"here{out}", **options)
    there = run(
        *command,
        "-o",
        tmp_path / f"there{out}",
        "--scheduler",
        cluster.scheduler_address,
        **options,
    )
    assert content(tmp_path / f"here{out}") == content(tmp_path / f"there{out}")
    assert (here.stdout, here.stderr) == (there.stdout, there.stderr)


INPUTS = ["x.npy", "columns.npy", "x.npz", "x.safetensors", "x.csv", "x.zarr", "t", "-"]


@pytest.mark.parametrize("source", INPUTS)
def test_every_input(source, run, cluster, folder, tmp_path):
    options = {"input": (folder / "x.npy").read_bytes()} if source == "-" else {}
    same_as_here(run, cluster, tmp_path, ".npy", source, **options)
    assert len(np.load(tmp_path / "there.npy")) == ROWS


@pytest.mark.parametrize(
    ("out", "options"),
    [
        (".zarr", []),
        (".csv", ["--classes"]),
        (".parquet", ["--classes"]),
        (".parquet", ["--logits", "--reproducible"]),
    ],
    ids=str,
)
def test_every_output(out, options, run, cluster, tmp_path):
    same_as_here(run, cluster, tmp_path, out, "t", *options)


def test_receipts(run, cluster, tmp_path):
    receipt = tmp_path / "r.json"
    way = ["--scheduler", cluster.scheduler_address]
    command = ["m.safetensors", "t", "--batch-size", BATCH]
    run("predict", *command, "--reproducible", "--receipt", receipt, *way)
    assert json.loads(receipt.read_text())["ran on"]["backend"] == f"numpy {np.__version__}"
    for options in ([], way):
        assert run("verify", receipt, *command, *options).stdout.startswith("same: sha256")


def test_what_is_shown_without_arguments(run, cluster):
    shown = run("predict", "--scheduler", cluster.scheduler_address).stdout
    assert "195 of 200 right" in shown


def test_few_tiles_are_on_their_way(run, cluster, tmp_path, monkeypatch):
    open_, most = 0, 0
    submit, result = distributed.Client.submit, _cluster._result

    def counted(self, function, *arguments, **options):
        nonlocal open_, most
        open_ += function is _cluster.Work.computed
        most = max(most, open_)
        return submit(self, function, *arguments, **options)

    def taken(client, future):
        nonlocal open_
        open_ -= 1
        return result(client, future)

    monkeypatch.setattr(distributed.Client, "submit", counted)
    monkeypatch.setattr(_cluster, "_result", taken)
    same_as_here(run, cluster, tmp_path, ".npy", "x.npy")
    assert most == 2 * 2  # for each of two threads


def test_a_worker_that_is_killed_loses_nothing(run, cluster, tmp_path, monkeypatch):
    killed, result = [], _cluster._result

    def killing(client, future):
        if len(killed) == 3:
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
        killed.append(len(killed))
        return result(client, future)

    monkeypatch.setattr(_cluster, "_result", killing)
    before = {worker.pid for worker in cluster.workers.values()}
    same_as_here(run, cluster, tmp_path, ".zarr", "t")
    assert len(killed) > 10
    assert {worker.pid for worker in cluster.workers.values()} != before


def test_workers_that_have_other_files(run, cluster, folder, tmp_path, monkeypatch):
    """They get the rows from here; the results are the same."""
    monkeypatch.setattr(_cluster, "stamp", lambda path: "other")
    command = ["predict", "m.safetensors", "t", "--batch-size", BATCH, "-o", tmp_path / "y.npy"]
    result = run(*command, "--scheduler", cluster.scheduler_address)
    line = "xpnn: workers have not t as it is here: this process sends them its rows\n"
    assert result.stderr == line
    monkeypatch.undo()
    os.chdir(folder)
    run(*command, "--force")
    there = np.load(tmp_path / "y.npy")
    np.testing.assert_array_equal(there, np.load(tmp_path / "y.npy"))


def test_errors_of_workers_are_one_line(run, cluster, tmp_path):
    way = ["--scheduler", cluster.scheduler_address]
    error = run("predict", "m.safetensors", "x.npy", "--backend", "cupy", *way, code=2).stderr
    assert error.startswith("xpnn: ")
    assert "cupy is not installed" in error


def test_an_interrupted_run_leaves_nothing_and_runs_again(cluster, tmp_path):
    rows = 120_000
    sparse(tmp_path / "x.npy", rows)
    predict = as_process(
        *("predict", "digits", "x.npy", "-o", "y.npy", "--batch-size", "4096"),
        *("--scheduler", cluster.scheduler_address),
    )
    interrupt(predict, tmp_path, signal.SIGINT, lambda part: part.stat().st_size > 0)
    done = subprocess.run(predict, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    y = np.load(tmp_path / "y.npy", mmap_mode="r")
    np.testing.assert_array_equal(y, np.broadcast_to(y[0], (rows, 10)))


def test_no_scheduler(run, monkeypatch):
    monkeypatch.setattr(_cluster, "_PATIENCE", 1)
    command = ["predict", "m.safetensors", "x.npy", "--scheduler"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        addresses = (f"tcp://127.0.0.1:{port}", "tcp://127.0.0.1:1", "here", "http://a:1")
        for address in addresses:
            error = run(*command, address, code=2).stderr
            assert f"--scheduler {address}: expected the address of a Dask scheduler" in error
            assert error.count("\n") == 1


def test_a_scheduler_that_is_lost(run, cluster, monkeypatch, tmp_path):
    def lost(client):
        raise OSError("connection closed")

    monkeypatch.setattr(_cluster, "_threads", lost)
    command = ["predict", "m.safetensors", "x.npy", "-o", tmp_path / "y.zarr"]
    error = run(*command, "--scheduler", cluster.scheduler_address, code=2).stderr
    assert "the scheduler was lost (connection closed); nothing was left" in error
    assert not list(tmp_path.iterdir())


def test_workers_may_come_later(run, tmp_path, monkeypatch):
    monkeypatch.setattr(_cluster, "_PATIENCE", 0.1)
    options = {"processes": False, "protocol": "tcp://", "dashboard_address": ":0"}
    with distributed.LocalCluster(n_workers=0, **options) as later:
        said = []

        def say(text):
            said.append(text)
            later.scale(1)

        monkeypatch.setattr(_cluster, "_say", say)
        command = ["predict", "m.safetensors", "x.npy", "-o", tmp_path / "y.npy"]
        run(*command, "--scheduler", later.scheduler_address)
    assert said == ["the scheduler has no workers yet; start some with: dask worker ADDRESS"]
    assert len(np.load(tmp_path / "y.npy")) == ROWS


def test_without_its_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    error = run("predict", "--scheduler", "tcp://127.0.0.1:1", code=2).stderr
    assert error == (
        "xpnn: dask needs the package distributed; get it with: pip install 'xpnn[dask]'\n"
    )


def test_input_that_changes_meanwhile(run, cluster, folder, tmp_path, monkeypatch):
    source, out, result = tmp_path / "x.zarr", tmp_path / "y.npy", _cluster._result
    shutil.copytree(folder / "x.zarr", source)
    chunk = next(p for p in sorted(source.rglob("*")) if p.is_file() and p.name != "zarr.json")

    def changing(client, future):
        os.utime(chunk, (0, 0))
        return result(client, future)

    monkeypatch.setattr(_cluster, "_result", changing)
    way = ["--scheduler", cluster.scheduler_address, "--batch-size", BATCH]
    failed = run("predict", "m.safetensors", source, "-o", out, *way, code=2)
    assert "changed while it was read; run this again" in failed.stderr
    assert not out.exists()


def test_workers_of_another_version(run, cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(xpnn, "__version__", "9.9")
    way = ["--scheduler", cluster.scheduler_address]
    failed = run("predict", "m.safetensors", "x.npy", "-o", tmp_path / "y.npy", *way, code=2)
    assert "expected xpnn 9.9 on the workers, as here, got" in failed.stderr


def test_a_worker_for_the_scheduler(run, cluster, tmp_path):
    worker = next(iter(cluster.workers.values())).worker_address
    way = ["--scheduler", worker]
    failed = run("predict", "m.safetensors", "x.npy", "-o", tmp_path / "y.npy", *way, code=2)
    assert "expected the address of a Dask scheduler" in failed.stderr


def test_results_wider_than_rows_are_smaller_tiles(run, cluster, folder, tmp_path, monkeypatch):
    wide = tmp_path / "wide.safetensors"
    xpnn.Network([xpnn.Dense(np.ones((3, 30)))]).save(wide)
    sizes, result = [], _cluster._result

    def counted(client, future):
        y = result(client, future)
        sizes.append(y.nbytes)
        return y

    monkeypatch.setattr(_cluster, "_result", counted)
    monkeypatch.setattr(_cluster, "_TILE", 8 * 30 * BATCH)
    way = ["--scheduler", cluster.scheduler_address, "--batch-size", BATCH]
    run("predict", wide, "x.npy", "-o", tmp_path / "y.npy", *way)
    assert max(sizes) <= 8 * 30 * BATCH
