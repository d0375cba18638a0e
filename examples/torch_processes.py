"""Rows and training on two processes of torch.distributed, as on two machines: python examples/torch_processes.py."""

import tempfile

import torch
from torch import distributed
from torch.distributed.tensor import Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

import xpnn


def work(rank: int, store: str) -> None:
    torch.set_num_threads(1)  # of each process, which share the processors
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    network = xpnn.load("digits")
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(8, 784, generator=generator)
    labels = network.classify(x).roll(1)

    # Rows: each process has half of them, and computes these.
    mesh = distributed.init_device_mesh("cpu", (2,))
    rows = distribute_tensor(x, mesh, [Shard(0)])
    y = network(rows, xp=xpnn.reproducible(torch))
    same = torch.equal(y.full_tensor(), network(x, xp=xpnn.reproducible(torch)))

    # Training: each process has a module of its own, with the gradients of all rows.
    module = DistributedDataParallel(network.to_torch())
    mine = slice(4 * rank, 4 * rank + 4)
    torch.nn.functional.nll_loss(module(x[mine]).log(), labels[mine]).backward()
    torch.optim.SGD(module.parameters(), lr=0.1).step()
    trained = xpnn.Network.from_torch(module)

    if rank == 0:
        print("rows:", y.placements, tuple(y.shape), "same bits:", same)
        print("trained:", trained.parameters, "parameters")
    distributed.destroy_process_group()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(work, (f"file://{folder}/store",), nprocs=2)
