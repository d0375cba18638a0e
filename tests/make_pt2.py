"""Writes tests/convert/models_pt2: small programs as torch.export.save writes them, and what PyTorch makes of them.

    python tests/make_pt2.py    # needs torch and scikit-learn

Each activation and module of `modules` stands after a linear layer of 5 inputs and 8 outputs. Where in the code a
node is from, and sample inputs, of which no reader needs anything, are left out; nothing else is changed. NAME.pt2 takes any number of rows;
NAME.3.pt2 is fixed to 3; NAME.core.pt2 is in the few operations that PyTorch calls core.
"""

import io
import json
import warnings
import zipfile
from pathlib import Path

import modules
import numpy as np
import torch
from torch import nn

FOLDER = Path(__file__).parent / "convert" / "models_pt2"
CORE = """
    selu celu log_sigmoid mish softplus softshrink hard_shrink threshold prelu softmax log_softmax step batch_norm
    layer_norm flatten chunk
""".split()
FIXED = ["flatten", "rows", "residual_norm"]


class Rows(nn.Module):
    """What asks for the number of rows."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(5, 8), nn.Linear(8, 3)
        self.shift = nn.Parameter(torch.randn(1, 8))

    def forward(self, x):
        rows = x.shape[0]
        y = self.first(x).view(rows, 2, 4).reshape(-1, 8).view(rows, -1)
        y = y + torch.ones(rows, 8) + self.shift.expand(rows, 8)
        y = torch.where(y > 0, y, torch.full((rows, 1), -1.5))
        return self.last(y.expand(rows, -1).flatten(1))


class Several(nn.Module):
    """Activations in place, and several outputs."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.relu = nn.Linear(5, 8), nn.Linear(8, 8), nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.relu(self.first(x))
        z = self.second(y)
        z += y
        return {"logits": self.relu(z), "chances": torch.softmax(z, -1), "one": z[:, 2]}


class Shared(nn.Module):
    """Numbers that are in memory that they share, in other orders, and of no state."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(5, 5), nn.Linear(5, 5)
        self.second.weight = self.first.weight
        some = torch.randn(20)
        self.register_buffer("scale", some[3:8])
        self.register_buffer("shift", some[10:20:2])
        self.register_buffer("turned", torch.randn(5, 5).t())
        self.register_buffer("unsaved", torch.randn(5), persistent=False)

    def forward(self, x):
        y = torch.tanh(self.first(x)) * self.scale + self.shift
        return self.second(y @ self.turned) - self.unsaved


def digits():
    """A network that knows the digits of scikit-learn, in images of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x, labels = torch.tensor(data.images, dtype=torch.float32), torch.tensor(data.target)
    network = nn.Sequential(
        nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 24), nn.GELU(), nn.Linear(24, 10)
    )
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), labels).backward()
        optimizer.step()
    return nn.Sequential(network, nn.Softmax(-1))


def networks():
    """Networks by name, and the shape of their samples."""
    torch.manual_seed(0)
    others = {
        "rows": (Rows(), (5,)),
        "several": (Several(), (5,)),
        "shared": (Shared(), (5,)),
    }
    return modules.networks() | others


def saved(network, shape, rows=None, *, core=False):
    """Return what torch.export.save writes of a network, for so many rows; by default for any number."""
    dynamic = None if rows else ({0: torch.export.Dim.DYNAMIC},)
    example = torch.zeros(rows or 3, *shape)
    program = torch.export.export(network.eval(), (example,), dynamic_shapes=dynamic)
    file = io.BytesIO()
    torch.export.save(program.run_decompositions() if core else program, file)
    return file.getvalue()


def bare(content, path):
    """Write an archive again, without what names places of this machine, and without sample inputs."""
    writer = torch._C.PyTorchFileWriter(str(path))
    writer.set_min_version(6)  # as torch.export.save does
    with zipfile.ZipFile(io.BytesIO(content)) as files:
        for name in files.namelist():
            rest = name.partition("/")[2]
            given = files.read(name)
            if rest.startswith("models/"):
                text = json.loads(given)
                for node in text["graph_module"]["graph"]["nodes"]:
                    node["metadata"] = {}
                given = json.dumps(text).encode()
            if rest.startswith("data/sample_inputs/"):
                given = b"never opened"
            if not rest.startswith((".data/", "byteorder")):  # which the writer adds
                writer.write_record(rest, given, len(given))
    writer.write_end_of_file()


def main():
    FOLDER.mkdir(exist_ok=True)
    outputs = {}
    for name, (network, shape) in {**networks(), "digits": (digits(), (8, 8))}.items():
        kinds = {"": {}}
        if name in CORE:
            kinds[".core"] = {"core": True}
        if name in FIXED:
            kinds[".3"] = {"rows": 3}
        rows = (np.random.default_rng(0).normal(size=(20, *shape)) * 3).astype("float32")
        with torch.no_grad():
            made = network.eval()(torch.asarray(rows))
        for kind, options in kinds.items():
            file = f"{name}{kind}.pt2"
            bare(saved(network, shape, **options), FOLDER / file)
            for output, numbers in (made if isinstance(made, dict) else {"": made}).items():
                outputs[f"{file}:{output}"] = numbers.numpy().reshape(20, -1)
    np.savez_compressed(FOLDER / "outputs.npz", **outputs)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
