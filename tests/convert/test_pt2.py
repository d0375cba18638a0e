"""Programs of torch.export.save: what PyTorch writes, read without it, and what nobody may take."""

import copy
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import xpnn
from xpnn._activations.table import RECORDS
from xpnn._arrays.transfer import to_numpy
from xpnn._convert.aten_operations import OPERATIONS
from xpnn._files.archive import Archive

FOLDER = Path(__file__).parent / "models_pt2"
OUTPUTS = dict(np.load(FOLDER / "outputs.npz"))


def rows(network, count=20):
    shape = network.layers[0].takes or (5,)
    return (np.random.default_rng(0).normal(size=(count, *shape)) * 3).astype("float32")


def read(name):
    """Return the network of a golden file, or of one of its outputs: file:output."""
    file, _, output = name.partition(":")
    return xpnn.load(FOLDER / file, output=output or None)


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_torch_writes(name, monkeypatch):
    """The numbers of PyTorch, inside the bound; its pickles stay closed."""
    opened = []
    entry_of = Archive.read
    monkeypatch.setattr(
        Archive, "read", lambda self, n, *a: opened.append(n) or entry_of(self, n, *a)
    )
    network = read(name)
    x = rows(network)
    bound = xpnn.error_bound(network, x)
    made = network(x).reshape(20, -1)
    assert np.all(np.abs(made - OUTPUTS[name]) <= bound.reshape(20, -1))
    assert np.max(bound) < 1e-3 * (1 + np.max(np.abs(OUTPUTS[name])))
    assert opened
    assert not any("sample_inputs" in n for n in opened)


@pytest.mark.parametrize("name", sorted(n for n in OUTPUTS if n.split(".")[0] in RECORDS))
def test_an_activation_that_was_taken_apart_is_one_again(name):
    assert read(name).layers[-1].activate.name == name.split(".")[0]


def test_files_are_of_every_activation():
    assert set(RECORDS) - {n.split(".")[0] for n in OUTPUTS} == {"identity"}


def test_nothing_of_torch_is_imported():
    code = f"""
import sys
import xpnn
for name in {list(OUTPUTS)}:
    file, _, output = name.partition(":")
    xpnn.load({str(FOLDER)!r} + "/" + file, output=output or None)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_on_every_backend(backend):
    for name in ("residual.pt2:", "rows.3.pt2:", "several.pt2:chances"):
        network = read(name)
        x = rows(network)
        y = to_numpy(network(backend.asarray(x)))
        assert np.all(np.abs(y - OUTPUTS[name]) <= xpnn.error_bound(network, x))


def test_the_digits_are_known():
    network = read("digits.pt2:")
    sklearn = pytest.importorskip("sklearn.datasets")
    data = sklearn.load_digits()
    known = np.argmax(network(data.images.astype("float32")), axis=1)
    assert np.mean(known == data.target) > 0.97


def test_one_of_several_outputs():
    with pytest.raises(xpnn.XpnnValueError, match="one of 'logits', 'chances', 'one', got None"):
        read("several.pt2")


# What PyTorch writes now

CASES = {
    "mm": lambda t, x, w, b: t.mm(x, w),
    "matmul": lambda t, x, w, b: x @ w.T,
    "addmm": lambda t, x, w, b: t.addmm(b, x, w.t()),
    "transpose": lambda t, x, w, b: x @ w.transpose(0, 1) @ w.permute(1, 0),
    "add": lambda t, x, w, b: t.add(x, b, alpha=2),
    "sub": lambda t, x, w, b: b - x,
    "rsub": lambda t, x, w, b: t.rsub(x, 3, alpha=2),
    "div": lambda t, x, w, b: -x / b,
    "broadcast_tensors": lambda t, x, w, b: t.sub(*t.broadcast_tensors(x, b)),
    "relu6": lambda t, x, w, b: t.ops.aten.relu6(x),
    "hardtanh": lambda t, x, w, b: t.ops.aten.hardtanh(x),
    "elu": lambda t, x, w, b: t.ops.aten.elu(x, 1.5),
    "defaults": lambda t, x, w, b: t.ops.aten.celu(t.ops.aten.softplus(t.ops.aten.gelu(x))),
    "more defaults": lambda t, x, w, b: t.ops.aten.leaky_relu(t.ops.aten.softshrink(x)),
    "hard_shrink": lambda t, x, w, b: t.ops.aten.hardshrink(x),
    "normalized": lambda t, x, w, b: t.ops.aten.layer_norm(x, [4]),
    "clamp_min": lambda t, x, w, b: t.clamp_max(t.clamp_min(x, 0), 6),
    "minimum": lambda t, x, w, b: t.minimum(t.relu(x), t.tensor(6.0)),
    "maximum": lambda t, x, w, b: t.maximum(x, t.zeros_like(x)),
    "max of two": lambda t, x, w, b: t.max(x, t.zeros(x.shape[0], 1)),
    "relu without limit": lambda t, x, w, b: t.clamp(x, 0.0, float("inf")),
    "softsign": lambda t, x, w, b: x / (1 + t.sqrt(x**2)),
    "reciprocal": lambda t, x, w, b: x * t.reciprocal(1 + x.abs()),
    "power of a number": lambda t, x, w, b: 1 / (1 + t.pow(2.718281828459045, -x)),
    "log": lambda t, x, w, b: t.log(t.sigmoid(x / 10)),
    "log1p": lambda t, x, w, b: t.log1p(t.exp(x / 10)),
    "expm1": lambda t, x, w, b: t.where(x > 0, x, t.expm1(x)),
    "sign": lambda t, x, w, b: (t.sign(x) + 1) * x * 0.5,
    "choices": lambda t, x, w, b: t.where(t.logical_not(x <= 0), x, 0.0),
    "less": lambda t, x, w, b: t.where(x < 0, t.full_like(x, 0.0), x),
    "greater by name": lambda t, x, w, b: t.where(t.ops.aten.greater(x, 0), x, 0.0),
    "no less by name": lambda t, x, w, b: t.where(t.ops.aten.greater_equal(x, 0), x, 0.0),
    "between": lambda t, x, w, b: t.ops.aten.hardtanh(x, -2, 3),
    "softplus of a whole number": lambda t, x, w, b: t.nn.functional.softplus(x, 2),
    "threshold": lambda t, x, w, b: t.nn.functional.threshold(x, 1, 5),
    "norm": lambda t, x, w, b: x * t.linalg.vector_norm(w, 2, [0], True),
    "weight norm": lambda t, x, w, b: x @ t._weight_norm(w, b[:, None].abs() + 1, 0).T,
    "less by name": lambda t, x, w, b: t.where(t.ops.aten.less(x, 0), 0.0, x),
    "no greater by name": lambda t, x, w, b: t.where(t.ops.aten.less_equal(x, 0), 0.0, x),
    "equal": lambda t, x, w, b: t.where(x == 0, 0.0, t.where(x >= 0, x, 0.0)),
    "softmax": lambda t, x, w, b: (x - x.amax(1, True)).softmax(1, dtype=t.float32),
    "log of softmax": lambda t, x, w, b: t.ops.aten._log_softmax(x, -1, False),
    "sum": lambda t, x, w, b: t.exp(x) / t.exp(x).sum([1], keepdim=True),
    "squeeze": lambda t, x, w, b: x.unsqueeze(1).squeeze(1),
    "slice": lambda t, x, w, b: x[:, 1:][:, ::2],
    "split": lambda t, x, w, b: t.relu((x @ w).split(3, -1)[1]),
    "split by sizes": lambda t, x, w, b: x.split([1, 3], -1)[1],
    "select": lambda t, x, w, b: x[:, 2].unsqueeze(1),
    "index": lambda t, x, w, b: x[:, [2, 0]],
    "to": lambda t, x, w, b: x.double().to(x),
    "type_as": lambda t, x, w, b: (x > 0).type_as(x),
    "copies": lambda t, x, w, b: t.ops.aten.alias(t.ops.aten.contiguous(x.clone().detach())),
    "dropout": lambda t, x, w, b: t.alpha_dropout(t.feature_dropout(x, 0.5, False), 0.5, False),
    "ones": lambda t, x, w, b: (x * t.ones(x.shape[0], 4) - t.ones_like(x)) / x.new_ones((1, 4)),
    "full": lambda t, x, w, b: x * x.new_full((x.shape[0], 4), 2.0) - t.full((4,), 3.0),
    "zeros": lambda t, x, w, b: t.where(x > 0, x, x.new_zeros(x.shape[0], 4)),
    "integers": lambda t, x, w, b: x * t.full((x.shape[0], 1), 2),
    "scalar_tensor": lambda t, x, w, b: t.where(x > 0, x, t.ops.aten.scalar_tensor(0.0)),
    "expand": lambda t, x, w, b: (x + b.expand(x.shape[0], -1)).expand(x.shape[0], 4),
    "axes": lambda t, x, w, b: x.view(x.shape[0], 2, 2).flatten(1).reshape(-1, 4),
    "in place": lambda t, x, w, b: x.mul(2).add_(b).clamp_(min=0),
    "in place and back": lambda t, x, w, b: t.nn.functional.leaky_relu_(x * 2, 0.3),
    "identity": lambda t, x, w, b: t.nn.Identity()(x),
}
KINDS = {"any": {}, "1": {"rows": 1}, "3": {"rows": 3}, "core": {"core": True}}


@pytest.fixture
def module_of(torch):
    """Return the module of a function, whose numbers are those of a module."""
    from modules import Of

    rng = np.random.default_rng(1)
    w = torch.tensor(rng.normal(size=(4, 4)), dtype=torch.float32)
    b = torch.tensor([0.5, -1, 2, 3])
    return lambda f: Of(lambda x: f(torch, x, w, b))


@pytest.fixture
def written(torch, tmp_path):
    """Return what is read of a module that torch.export.save has written."""
    from make_pt2 import saved

    def load(module, shape, **options):
        path = tmp_path / "m.pt2"
        path.write_bytes(saved(module, shape, **options))
        return xpnn.load(path)

    return load


def same(network, other, folder):
    """Whether two networks are, bit for bit."""
    for i, one in enumerate((network, other)):
        one.save(folder / f"{i}.safetensors")
    return (folder / "0.safetensors").read_bytes() == (folder / "1.safetensors").read_bytes()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_functions(name, kind, torch, module_of, written, tmp_path):
    """As PyTorch computes them, in a file and alive."""
    module = module_of(CASES[name])
    network = written(module, (4,), **KINDS[kind])
    x = (np.random.default_rng(1).normal(size=(30, 4)) * 3).astype("float32")
    expected = module(torch.tensor(x)).numpy()
    assert np.all(np.abs(network(x) - expected) <= xpnn.error_bound(network, x))
    if kind == "any":
        assert same(network, xpnn.Network.from_torch(module, torch.zeros(2, 4)), tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_modules_are_the_same_in_a_file_and_alive(torch, written, tmp_path):
    from make_pt2 import networks

    for name, (module, shape) in networks().items():
        if name != "several":
            alive = xpnn.Network.from_torch(module, torch.zeros(2, *shape))
            assert same(written(module, shape), alive, tmp_path), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_dtypes(dtype, torch, tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU()).to(getattr(torch, dtype))
    example = torch.zeros(1, 3, dtype=getattr(torch, dtype))
    torch.export.save(torch.export.export(module, (example,)), tmp_path / "m.pt2")
    assert same(xpnn.load(tmp_path / "m.pt2"), xpnn.Network.from_torch(module), tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_outputs_beside_each_other(torch, tmp_path):
    class Heads(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Linear(5, 4)

        def forward(self, x):
            y = self.first(x)
            return {"some": y[:, :2], "one": y[:, 3], "why": 3}

    module, x = Heads(), torch.randn(6, 5)
    torch.export.save(torch.export.export(module, (x,)), tmp_path / "m.pt2")
    network = xpnn.load(tmp_path / "m.pt2", output=["one", "some"])
    alive = xpnn.Network.from_torch(module, output=["one", "some"])
    assert same(network, alive, tmp_path)
    y = module(x)
    expected = torch.cat([y["one"][:, None], y["some"]], 1).detach().numpy()
    assert np.all(np.abs(network(x.numpy()) - expected) <= xpnn.error_bound(network, x.numpy()))


@pytest.mark.filterwarnings("ignore")
def test_every_operation_is_in_a_test(torch, module_of):
    seen = set()
    for path in FOLDER.glob("*.pt2"):
        for node in Program(path).graph["nodes"]:
            seen.add(node["target"].split(".")[3])
    for f in CASES.values():
        program = torch.export.export(
            module_of(f), (torch.zeros(3, 4),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)
        )
        seen |= {str(n.target).split(".")[1] for n in program.graph.nodes if "." in str(n.target)}
    formulas = set("floor ceil sin cos sinh cosh".split())
    assert set(OPERATIONS) - seen - formulas == set()


# What is refused


class Program:
    """What stands in a golden file, to be written again with something else in it."""

    def __init__(self, path=FOLDER / "relu.pt2"):
        self.name = path.stem
        with zipfile.ZipFile(path) as files:
            self.entries = {n.partition("/")[2]: files.read(n) for n in files.namelist()}
        self.texts = {n: json.loads(e) for n, e in self.entries.items() if n.endswith(".json")}

    @property
    def model(self):
        return self.texts["models/model.json"]

    @property
    def graph(self):
        return self.model["graph_module"]["graph"]

    @property
    def signature(self):
        return self.model["graph_module"]["signature"]

    @property
    def weight(self):
        """What is said of the first weight."""
        return self.texts["data/weights/model_weights_config.json"]["config"]["0.weight"]

    @property
    def last(self):
        """The last node: of relu."""
        return self.graph["nodes"][-1]

    def written(self, path):
        with zipfile.ZipFile(path, "w") as files:
            for name, entry in self.entries.items():
                text = json.dumps(self.texts[name]).encode() if name in self.texts else entry
                files.writestr(f"{self.name}/{name}", text)
        return path


def targeted(target):
    return lambda p: p.last.update(target=target)


def argued(**arg):
    """Give the last node another argument."""
    return lambda p: p.last["inputs"].append({"name": "other", "arg": arg, "kind": 1})


def tensor(**fields):
    return lambda p: p.weight["tensor_meta"].update(fields)


def lengths(*numbers):
    return [{"as_int": n} for n in numbers]


def sized(*sizes, strides=(5, 1), offset=0):
    return tensor(
        sizes=lengths(*sizes), strides=lengths(*strides), storage_offset={"as_int": offset}
    )


def an_input(**fields):
    return lambda p: p.graph["tensor_values"]["input"].update(fields)


def another_input(p):
    p.signature["input_specs"].append({"user_input": {"arg": {"as_tensor": {"name": "mask"}}}})


def entry(name, content):
    return lambda p: (p.texts.pop(name, None), p.entries.update({name: content}))


def without(name):
    return lambda p: (p.texts.pop(name, None), p.entries.pop(name))


MODEL, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"
BAD = {
    "node relu: conv2d is not among the operations": targeted("torch.ops.aten.conv2d.default"),
    "node relu: mylib.relu.default is not among": targeted("torch.ops.mylib.relu.default"),
    "node relu: higher_order.cond is not among": targeted("torch.ops.higher_order.cond"),
    "node relu: torch.ops.aten.relu.default: expected tensors and numbers, got an argument as_graph": (
        argued(as_graph={"name": "g", "graph": {}})
    ),
    "node relu: expected an input that is made before it, got 'x'": argued(as_tensor={"name": "x"}),
    "node relu: a conversion: expected no bfloat16": argued(as_scalar_type=13),
    "node relu: expected each name once, got two values named 'linear'": (
        lambda p: p.last.update(outputs=[{"as_tensor": {"name": "linear"}}])
    ),
    "node relu: add: expected other to be a tensor or a number, got None": (
        lambda p: (targeted("torch.ops.aten.add.Tensor")(p), argued(as_none=True)(p))
    ),
    "expected one input, got 'input', 'mask'": another_input,
    "got 'input' of shape (?, 5) and dtype int64": an_input(dtype=5),
    "got 'input' of shape (5) and dtype float32": an_input(sizes=lengths(5)),
    "got 'input' of shape (?, ?) and dtype float32": an_input(sizes=[{"as_expr": {}}] * 2),
    "expected rows of at most": an_input(sizes=lengths(1, 10**6, 10**5)),
    "expected version 8 of the schema, got 9: save the program again": (
        lambda p: p.model["schema_version"].update(major=9)
    ),
    "expected one program, as torch.export.save writes it, got none": without(MODEL),
    "expected one program, as torch.export.save writes it, got relu/models/model.json, relu/models/b.json": (
        entry("models/b.json", b"{}")
    ),
    "entry 'relu/models/model.json': expected JSON, got other text": entry(MODEL, b"{"),
    "entry 'relu/models/model.json': expected JSON, got other text (max": entry(
        MODEL, b"[" * 10**6
    ),
    "expected JSON, got other text ('utf-8'": entry(MODEL, b"\xff\xff\xff\xff\xff"),
    "entry 'relu/data/weights/model_weights_config.json', which is missing": without(WEIGHTS),
    "expected an entry 'relu/data/weights/weight_0', which is missing": without(
        "data/weights/weight_0"
    ),
    "expected an entry 'relu/data/weights/../../../m', which is missing": (
        lambda p: p.weight.update(path_name="../../../m")
    ),
    "expected plain numbers, got a pickle, relu/data/weights/model.pt: save": entry(
        "data/weights/model.pt", b""
    ),
    "weights '0.weight': expected plain numbers, got a pickle": (
        lambda p: p.weight.update(use_pickle=True)
    ),
    "weights '0.weight': expected its numbers in the file, got none": (
        lambda p: p.texts[WEIGHTS]["config"].pop("0.weight")
    ),
    "weights '0.weight': expected no bfloat16; convert the module with .float()": tensor(dtype=13),
    "weights '0.weight': expected real numbers, got dtype 10 of the schema": tensor(dtype=10),
    "weights '0.weight': expected a dense tensor, got layout 1": tensor(layout=1),
    "weights '0.weight': expected lengths of 0 or more, got [-8, 5]": sized(-8, 5),
    "weights '0.weight': expected lengths of 0 or more, got [-5, 1]": sized(8, 5, strides=(-5, 1)),
    "weights '0.weight': expected lengths of 0 or more, got [True": sized(True, 5),
    "expected numbers up to place 44 of its entry, got 40 numbers": sized(9, 5),
    "expected numbers up to place 40 of its entry, got 40 numbers": sized(8, 5, offset=1),
    "weights '0.weight': expected at most 33,554,592 numbers, got 1,000,000,000,000,000,000": sized(
        10**9, 10**9, strides=(0, 0)
    ),
    "weights '0.bias': expected at most 33,554,5": lambda p: p.texts[WEIGHTS]["config"]["0.bias"][
        "tensor_meta"
    ].update(sizes=lengths(2**25 + 160), strides=lengths(0)),
    "expected numbers up to place 39 of its entry, got 0": entry("data/weights/weight_0", b""),
    "expected numbers up to place 39 of its entry, got 39": entry(
        "data/weights/weight_0", b"1" * 159
    ),
    "expected output to be one of , got None": lambda p: p.signature.update(output_specs=[]),
}


@pytest.mark.parametrize("words", BAD)
def test_what_is_refused(words, tmp_path):
    program = Program()
    BAD[words](program)
    path = program.written(tmp_path / "relu.pt2")
    with pytest.raises(xpnn.XpnnValueError) as error:
        xpnn.load(path)
    assert words in str(error.value)
    assert str(error.value).startswith(f"{path}: ")


def test_files_of_old_versions(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as files:
        files.writestr("serialized_exported_program.json", "{}")
        files.writestr("serialized_state_dict.pt", b"a pickle")
    with pytest.raises(
        xpnn.XpnnValueError, match="expected numbers that are no pickle, got a file"
    ):
        xpnn.load(tmp_path / "m.pt2")
    (tmp_path / "m.pt2").write_bytes(b"no archive")
    with pytest.raises(xpnn.XpnnValueError, match="expected a zip archive"):
        xpnn.load(tmp_path / "m.pt2")


def test_what_nobody_asks_for_may_be_anything(tmp_path):
    program = Program(FOLDER / "several.pt2")
    for node in program.graph["nodes"]:
        if "softmax" in node["target"]:
            node["target"] = "torch.ops.mylib.softmax.default"
    path = program.written(tmp_path / "m.pt2")
    assert xpnn.load(path, output="logits").layers
    with pytest.raises(xpnn.XpnnValueError, match="node softmax: mylib"):
        xpnn.load(path, output="chances")


def test_a_name_is_what_it_was_changed_to(tmp_path):
    """linear, relu_(linear), linear + linear."""
    program = Program()
    program.last["target"] = "torch.ops.aten.relu_.default"
    names = [{"name": n, "arg": {"as_tensor": {"name": "linear"}}} for n in ("self", "other")]
    outputs = [{"as_tensor": {"name": "sum"}}]
    program.graph["nodes"].append(
        {"target": "torch.ops.aten.add.Tensor", "inputs": names, "outputs": outputs}
    )
    program.signature["output_specs"] = [{"user_output": {"arg": outputs[0]}}]
    network = xpnn.load(program.written(tmp_path / "m.pt2"))
    x = rows(network)
    assert np.all(network(x) == 2 * read("relu.pt2:")(x))


def test_big_and_little_ends(tmp_path):
    program = Program()
    program.entries["byteorder"] = b"big"
    for name in ("data/weights/weight_0", "data/weights/weight_1"):
        numbers = np.frombuffer(program.entries[name], "<f4")
        program.entries[name] = numbers.astype(">f4").tobytes()
    assert same(xpnn.load(program.written(tmp_path / "m.pt2")), read("relu.pt2"), tmp_path)


def test_infinite_numbers_are_words(tmp_path):
    """Which JSON has not."""
    for low, high, fine in ((0, "Infinity", True), ("-Infinity", "NaN", False)):
        program = Program(FOLDER / "relu_by_clamp.pt2")
        names = zip(("min", "max"), (low, high), strict=True)
        program.last["inputs"][1:] = [
            {"name": n, "arg": {"as_float": a}, "kind": 1} for n, a in names
        ]
        path = program.written(tmp_path / "m.pt2")
        if fine:
            assert xpnn.load(path).layers[-1].activate.name == "relu"
        else:
            with pytest.raises(xpnn.XpnnValueError):
                xpnn.load(path)


WRONG = (None, True, -1, 10**30, 1.5, float("nan"), "x", "as_int", [], [[]], {}, {"as_int": 1})


def places(thing, path=()):
    """Yield the way to everything in a JSON text."""
    yield path
    for key in (
        thing if isinstance(thing, dict) else range(len(thing)) if isinstance(thing, list) else ()
    ):
        yield from places(thing[key], (*path, key))


@pytest.mark.slow
@pytest.mark.parametrize("file", ["rows.pt2", "batch_norm.core.pt2", "columns.pt2"])
@pytest.mark.parametrize("text", [MODEL, WEIGHTS])
def test_anything_may_be_of_another_kind(file, text, tmp_path):
    """It ends as an error of xpnn, or as a network."""
    program = Program(FOLDER / file)
    good = program.texts[text]
    refused = 0
    for i, way in enumerate(places(good)):
        for wrong in WRONG[i % 6 :: 6] if len(way) > 4 else WRONG:
            bad = copy.deepcopy(good)
            if way:
                inside = bad
                for key in way[:-1]:
                    inside = inside[key]
                inside[way[-1]] = wrong
            program.texts[text] = bad if way else wrong
            try:
                xpnn.load(program.written(tmp_path / "m.pt2"))
            except xpnn.XpnnValueError:
                refused += 1
    assert refused > 100
