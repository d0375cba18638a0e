"""PyTorch: operation by operation, with kernels of its own; torch.compile meets operators."""

import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch

from xpnn._arrays.backends.protocol import (
    Array,
    Differentiable,
    Function,
    Kernel,
    Library,
    Namespace,
    Node,
    Values,
)
from xpnn._arrays.backends.standard import Standard
from xpnn._arrays.backends.threads import on_another_thread
from xpnn._arrays.backends.tracing import is_compiling, is_recorded

T = TypeVar("T")

PIECE = 2**18
"""Numbers that are made float64 at a time."""

ADDED = 128
"""Terms up to which a kernel may add one after the other: some 5 units in the last place."""

# array_namespace of array-api-compat, vendored or not, is cached; that is no news to its callers.
_CACHE_OF_COMPAT = "Dynamo detected a call to a `functools.lru_cache`-wrapped .* '_helpers.py"


class Torch(Standard):
    """Tensors of PyTorch."""

    def __init__(self, xp: Namespace) -> None:
        super().__init__(xp)
        self.kernels = _kernels()

    guard = Library.guard

    # Values from and to NumPy

    def to_numpy(self, x: Array) -> Any:
        """Copy a tensor off its device and the record of derivatives."""
        return x.numpy(force=True)

    def to_host(self, x: Array) -> Values | None:
        """Return the same memory as NumPy's, where neither derivatives nor transforms are at work."""
        ordinary = _is_ordinary(x) and x.is_cpu and x.dtype is not torch.bfloat16
        return x.numpy(force=True) if ordinary and _takes_values_alone(x) else None

    def from_host(self, values: Values) -> Array:
        """Return the same memory as a tensor."""
        if values.dtype.name == "bfloat16":  # of ml_dtypes, which torch knows by its bits
            return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(values)

    # What is known while others are at work

    def is_known(self, x: Array) -> bool:
        """Whether neither a compiler, a transform nor a mode is at work, on whatever tensor."""
        return not (
            self.sees_no_values()
            or torch._C._functorch.peek_interpreter_stack() is not None
            or torch.is_inference_mode_enabled()
        )

    def is_traced(self, x: Array) -> bool:
        """Whether a compiler, a transform or the record of derivatives is at work on a tensor."""
        return is_compiling() or not _is_ordinary(x) or not _takes_values_alone(x)

    def sees_no_values(self) -> bool:
        """Whether torch.compile, torch.export, jit.trace or a mode such as FakeTensorMode is at work."""
        return _sees_no_values()

    def lastingly(self, make: Callable[[], T], dtype: str) -> T:
        """Call make on another thread: inference_mode, func.jvp, FakeTensorMode are a thread's."""
        return make() if is_recorded() else on_another_thread(make)

    def mark_constant(self, x: Array) -> None:
        """Mark a tensor as torch._dynamo.mark_static does, which refuses while compiling."""
        x._dynamo_static_indices = set(range(x.ndim))

    # How formulas run

    def adds_in_pairs(self, x: Array, axis: int) -> bool:
        """It adds in lanes."""
        return True

    def matmul_of_integers(self, a: Array, b: Array) -> Array:
        """Return the product of integer matrices, which torch has on the CPU alone."""
        if a.is_cpu:
            return self.xp.matmul(a, b)
        rows = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        y = torch.zeros(
            (*rows, a.shape[-2], b.shape[-1]), dtype=torch.result_type(a, b), device=a.device
        )
        for k in range(a.shape[-1]):
            y += a[..., :, k, None] * b[..., None, k, :]
        return y

    def compile_anew(self, f: Function, **options: Any) -> Function | None:
        """Compile f by torch.compile, which forgets all that it has compiled before."""
        torch.compiler.reset()
        compiled = torch.compile(f, **{"fullgraph": True, "backend": "aot_eager", **options})

        def function(*args: Any, **kwargs: Any) -> Any:
            try:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message=_CACHE_OF_COMPAT)
                    return compiled(*args, **kwargs)
            except torch._dynamo.exc.TorchDynamoException:
                # The compiler has errors of its own for an error that f raises: let that one out.
                try:
                    f(*args, **kwargs)
                except Exception as error:
                    raise error from None
                raise

        return function

    # What the same bits need

    def with_vjp(self, rule: Differentiable) -> Function:
        """Make a function of a rule's f that has its derivatives, by reverse mode."""

        class WithVjp(torch.autograd.Function):  # type: ignore[misc]
            generate_vmap_rule = True

            @staticmethod
            def forward(*arrays: Array) -> Array:
                return rule.f(*arrays)

            @staticmethod
            def setup_context(ctx: Any, inputs: tuple[Array, ...], output: Array) -> None:
                ctx.save_for_backward(output, *inputs)

            @staticmethod
            def backward(ctx: Any, g: Array) -> tuple[Array, ...]:
                return rule.backward(g, *ctx.saved_tensors)

            @staticmethod
            def jvp(ctx: Any, *tangents: Array) -> Array:  # noqa: ARG004
                raise rule.no_forward_mode()

        def is_dual(a: Array) -> bool:
            return torch.autograd.forward_ad.unpack_dual(a).tangent is not None

        def function(*arrays: Array) -> Array:
            backward = torch.is_grad_enabled() and any(a.requires_grad for a in arrays)
            needed = backward or any(is_dual(a) for a in arrays)
            return WithVjp.apply(*arrays) if needed else rule.f(*arrays)

        return function

    def operator(self, rule_of: Callable[[str], Differentiable]) -> Function:
        """Make the operator by which torch.compile calls a rule's f, and does not look into it."""

        def run(arrays: list[Array], text: str) -> Array:
            return rule_of(text).f(*arrays)

        operator = torch.library.custom_op(
            "xpnn::reproducible",
            run,
            mutates_args=(),
            schema="(Tensor[] arrays, str text) -> Tensor",
        )

        def abstract_value(arrays: list[Array], text: str) -> Array:
            same = rule_of(text).abstract_value(*arrays)
            return torch.empty_like(same, memory_format=torch.contiguous_format)

        def save(ctx: Any, inputs: tuple[list[Array], str], output: Array) -> None:
            arrays, ctx.text = inputs
            ctx.save_for_backward(output, *arrays)

        def backward(ctx: Any, g: Array) -> tuple[list[Array], None]:
            return list(rule_of(ctx.text).backward(g, *ctx.saved_tensors)), None

        def vmap(info: Any, in_dims: Any, arrays: list[Array], text: str) -> tuple[Array, int]:
            axes = in_dims[0]
            rows = (
                [a if i is None else a.select(i, n) for a, i in zip(arrays, axes, strict=True)]
                for n in range(info.batch_size)
            )
            return torch.stack([operator(row, text) for row in rows]), 0

        operator.register_fake(abstract_value)
        operator.register_autograd(backward, setup_context=save)
        operator.register_vmap(vmap)
        return operator

    # Trees of arrays

    @staticmethod
    def register_pytree(node: Node) -> None:
        """Make a class a tree of tensors."""

        def flatten(x: Any) -> tuple[list[Any], Any]:
            children, rest = node.flatten(x)
            return list(children), rest

        torch.utils._pytree.register_pytree_node(
            node.cls,
            flatten,
            lambda children, rest: node.unflatten(rest, tuple(children)),
            serialized_type_name=f"xpnn.{node.cls.__qualname__}",
        )


def _is_ordinary(x: Array) -> bool:
    return type(x) in {torch.Tensor, torch.nn.Parameter}


def _sees_no_values() -> bool:
    return (
        bool(torch.compiler.is_compiling())
        or torch._C._len_torch_dispatch_stack() > 0
        or torch.jit.is_tracing()
    )


def _takes_values_alone(x: Array) -> bool:
    """Whether neither derivatives, transforms nor the compiler are at work on a tensor."""
    return (
        not _sees_no_values()
        and not (x.requires_grad and torch.is_grad_enabled())
        and torch.autograd.forward_ad._current_level < 0
        and not torch._C._functorch.is_functorch_wrapped_tensor(x)
    )


def _for_inference(x: Array, **_: object) -> bool:
    return x.is_cpu and _takes_values_alone(x)


def _in_double(compute: Callable[[Array], Array]) -> Callable[..., Array]:
    """Compute in float64 and round; many numbers piece by piece, which takes less memory."""

    def function(x: Array, **_: object) -> Array:
        if x.numel() <= PIECE or not x.is_contiguous():
            return compute(x.double()).float()
        y = torch.empty_like(x)
        pairs = zip(x.view(-1).split(PIECE), y.view(-1).split(PIECE), strict=True)
        for part, to in pairs:
            to.copy_(compute(part.double()))
        return y

    return function


def _gelu(x: Array) -> Array:
    # Below -40 it is zero; at -inf that is its limit.
    return x.clamp_min_(-40) * torch.special.erfc(x * -math.sqrt(0.5)).mul_(0.5)


def _is_exact(x: Array, *, approximate: str = "none") -> bool:
    return approximate == "none" and _for_inference(x)


def _is_short(x: Array, *, axis: int) -> bool:
    # On the CPU the terms are added one after the other, along the last axis in eight lanes.
    lanes = 8 if axis == x.ndim - 1 else 1
    return x.shape[axis] <= ADDED * lanes or not x.is_cpu


def _kernels() -> dict[str, Kernel]:
    functional = torch.nn.functional
    return {
        "gelu": Kernel(_in_double(_gelu), _is_exact, ("float32",)),
        "linear": Kernel(
            lambda x, weight, bias: torch.addmm(bias, x, weight),
            lambda x, _, bias: bias is not None and x.ndim == 2,
        ),
        "relu": Kernel(torch.relu),
        "leaky_relu": Kernel(functional.leaky_relu),
        "log_sigmoid": Kernel(functional.logsigmoid),
        # In float32 it is zero from -88.8 on, where float32 goes to -103.9. float64 has those numbers,
        # but the derivative is zero from 36 on. Likewise gelu, which loses its lower tail.
        "sigmoid": Kernel(_in_double(torch.Tensor.sigmoid_), _for_inference, ("float32",)),
        "softmax": Kernel(lambda x, *, axis: torch.softmax(x, axis), _is_short),
    }
