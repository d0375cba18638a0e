"""PyTorch: operation by operation, with kernels of its own; torch.compile meets operators."""

import functools
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

FEW = 2**12
"""Up to so many numbers the fewest calls take the least time."""

GRAIN = 2**15
"""From here on torch computes on its threads."""

CACHED = 2**16
"""Up to so many numbers steps after one another find them in the cache."""

FAR = 64.0
"""From here on gelu, silu and mish are x, to the last digit, and at -FAR gelu is 0."""

LAST = 1e18
"""From here on x / (1 + x) is 1."""

# array_namespace of array-api-compat, vendored or not, is cached; that is no news to its callers.
_CACHE_OF_COMPAT = "Dynamo detected a call to a `functools.lru_cache`-wrapped .* '_helpers.py"


class Torch(Standard):
    """Tensors of PyTorch."""

    def __init__(self, xp: Namespace) -> None:
        super().__init__(xp)
        self.kernels = _kernels()

    guard = Library.guard

    # Tensors of which each process has a part

    def of_parts(
        self,
        f: Function,
        axes: tuple[int, ...],
        like: Array,
        refuse: Callable[[str], Exception],
        *,
        alike: bool = True,
    ) -> Function:
        """Return f for a DTensor, part by part; it is parted as the first one is."""
        if not _is_parted(like):
            return f
        from xpnn._arrays.backends import dtensor  # takes its time

        return functools.partial(dtensor.of_parts, f, axes, refuse, alike)

    # Values from and to NumPy

    def to_numpy(self, x: Array) -> Any:
        """Copy a tensor off its device and the record of derivatives; of parts, all of them."""
        x = x.full_tensor() if _is_parted(x) else x
        return x.numpy(force=True)

    def to_host(self, x: Array) -> Values | None:
        """Return the same memory as NumPy's, where neither derivatives nor transforms are at work."""
        known = _can_be_looked_at(x) and x.is_cpu and x.dtype is not torch.bfloat16
        return x.numpy(force=True) if known else None

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
        return is_compiling() or not _can_be_looked_at(x)

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


def _is_parted(x: Array) -> bool:
    """Whether it is a DTensor, the module of which is there if there is one."""
    return not _is_ordinary(x) and hasattr(x, "device_mesh")


_ORDINARY = frozenset((torch.Tensor, torch.nn.Parameter))


def _is_ordinary(x: Array) -> bool:
    return type(x) in _ORDINARY


def _sees_no_values() -> bool:
    return bool(
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._is_tracing()
    )


def _takes_values_alone(x: Array) -> bool:
    """Whether neither derivatives, transforms nor the compiler are at work on a tensor."""
    return (
        not _sees_no_values()
        and not (x.requires_grad and torch.is_grad_enabled())
        and torch.autograd.forward_ad._current_level < 0
        and not torch._C._functorch.is_functorch_wrapped_tensor(x)
    )


def _records(x: Array) -> bool:
    """Whether derivatives by a tensor are recorded, backward or forward."""
    backward = x.requires_grad and torch.is_grad_enabled()
    return bool(backward or torch.autograd.forward_ad._current_level >= 0)


def _derivative_has_all_digits(x: Array, **_: object) -> bool:
    """Whether it is float32, or no derivative is recorded: of float64 it has the digits of float32."""
    return x.dtype is torch.float32 or _takes_values_alone(x)


def _sixth_has_all_digits(x: Array) -> bool:
    """Whether what torch multiplies by is 1/6 in x's dtype: on a GPU it is that of float32."""
    return bool(x.is_cpu or x.dtype is torch.float32)


def _hard_sigmoid_has_all_digits(x: Array) -> bool:
    return _derivative_has_all_digits(x) and _sixth_has_all_digits(x)


def _mended(
    function: Function,
    lowest: float,
    unseen: Function,
    many: Function | None = None,
    *,
    few: int = GRAIN,
) -> Function:
    """Make a function of one that is NaN at infinity, and from a number below to `lowest` what it is there.

    It is x from FAR on, where its derivative may be NaN. `unseen` computes numbers of which no more is
    known than that they are `lowest` or more, and may write into them; `many`, more than `few` that may
    be looked at.
    """
    many = many or functools.partial(_with_a_look, function)

    def computed(x: Array) -> Array:
        if _records(x):
            return _up_to_far(function(x.clamp(lowest, FAR)), x)
        # A compiler would take the number for a constant, and a look on a GPU would wait for it.
        is_many = not _sees_no_values() and x.numel() > few and x.is_cpu
        return many(x) if is_many and _can_be_looked_at(x) else unseen(x.clamp_min(lowest))

    return computed


def _up_to_far(y: Array, x: Array) -> Array:
    """Return y, which is greater than -1, where x <= FAR, and x beyond; the derivatives, too."""
    return torch.maximum(y, torch.nn.functional.threshold(x, FAR, -1.0))


def _with_a_look(function: Function, x: Array) -> Array:
    """Return a function that is NaN at infinity, or overflows; max(x, 0) there."""
    y = function(x)
    return y if _is_finite(y) else torch.where(y.isfinite(), y, x.relu())


def _is_finite(y: Array) -> bool:
    """Whether all of an array that holds no -inf is finite, by one pass that only reads; of huge numbers, no."""
    if y.numel() <= GRAIN or not y.is_contiguous():
        return math.isfinite(y.sum().item())
    y = y.view(-1)  # the product with itself is faster than the sum
    return math.isfinite(torch.dot(y, y).item())


def _can_be_looked_at(x: Array) -> bool:
    return _is_ordinary(x) and _takes_values_alone(x)


def _gelu(x: Array) -> Array:
    """Return gelu, of what is not below -FAR: torch's own is NaN at inf in float32 on the CPU."""
    nan_at_inf = x.is_cpu and x.dtype is torch.float32
    return _gelu_by_erf(x) if nan_at_inf else torch.nn.functional.gelu(x)


def _gelu_by_erf(x: Array) -> Array:
    half = x * 0.5
    return torch.addcmul(half, half, (x * math.sqrt(0.5)).erf_())


def _gelu_of_many(x: Array) -> Array:
    """Return gelu by steps where they are faster than torch's own: float64 that stays in the cache."""
    if x.dtype is torch.float64 and x.numel() <= CACHED:
        return _gelu_by_erf(x.clamp_min(-FAR))
    return _with_a_look(torch.nn.functional.gelu, x)


def _hard_swish(x: Array) -> Array:
    """Return hard_swish: torch's own is inf from a sixth of the largest number on."""
    return torch.nn.functional.hardsigmoid(x).mul_(x)


def _mish(x: Array) -> Array:
    """Return mish by steps that take less than torch's own, in the memory of one result."""
    return _with_a_look(lambda x: torch.nn.functional.softplus(x).tanh_().mul_(x), x)


def _softplus(x: Array, *, beta: float = 1.0, threshold: float | None = None) -> Array:
    # From here on it is x to the last digit, and exp far from overflow.
    last = 20.0 if x.dtype is torch.float32 else 40.0
    return torch.nn.functional.softplus(
        x, beta, last if threshold is None else min(threshold, last)
    )


def _softsign(x: Array) -> Array:
    """Return softsign: torch's own is NaN at infinity."""
    t = x.clamp(-LAST, LAST)
    return torch.nn.functional.softsign(t) if _records(x) else t.div_(t.abs().add_(1))


def _kernels() -> dict[str, Kernel]:
    functional = torch.nn.functional
    gelu_by_tanh = functools.partial(functional.gelu, approximate="tanh")
    gelu = {
        "none": _mended(functional.gelu, -FAR, _gelu, _gelu_of_many, few=FEW),
        "tanh": _mended(gelu_by_tanh, -FAR, gelu_by_tanh),
    }
    return {
        "relu": Kernel(torch.relu),
        "relu6": Kernel(functional.relu6),
        "leaky_relu": Kernel(functional.leaky_relu),
        "hard_sigmoid": Kernel(functional.hardsigmoid, _hard_sigmoid_has_all_digits),
        "hard_swish": Kernel(
            _mended(functional.hardswish, -3.0, _hard_swish), _sixth_has_all_digits
        ),
        "hard_tanh": Kernel(functional.hardtanh),
        "sigmoid": Kernel(torch.sigmoid),
        "log_sigmoid": Kernel(functional.logsigmoid),
        "tanh": Kernel(torch.tanh),
        "softplus": Kernel(_softplus),
        "softsign": Kernel(_softsign),
        "elu": Kernel(functional.elu),
        "selu": Kernel(functional.selu),
        "celu": Kernel(functional.celu, _derivative_has_all_digits),
        "exp": Kernel(torch.exp),
        "gelu": Kernel(lambda x, *, approximate="none": gelu[approximate](x)),
        "silu": Kernel(
            _mended(functional.silu, -1000.0, lambda x: functional.silu(x, inplace=True))
        ),
        "mish": Kernel(
            _mended(
                functional.mish, -1000.0, lambda x: functional.mish(x, inplace=True), _mish, few=FEW
            )
        ),
        "hard_shrink": Kernel(functional.hardshrink),
        "softshrink": Kernel(functional.softshrink),
        "threshold": Kernel(
            lambda x, *, threshold=1.0, value=0.0: functional.threshold(x, threshold, value)
        ),
        "tanhshrink": Kernel(functional.tanhshrink),
        "erf": Kernel(torch.special.erf),
        "softmax": Kernel(lambda x, *, axis: torch.softmax(x, axis)),
        "log_softmax": Kernel(lambda x, *, axis: torch.log_softmax(x, axis)),
        # Its derivative is exp(x - y), which has the rounding of y.
        "logsumexp": Kernel(
            lambda x, *, axis, keepdims: torch.logsumexp(x, axis, keepdims),
            lambda x, **_: not _records(x),
        ),
        "linear": Kernel(
            lambda x, weight, bias: torch.addmm(bias, x, weight),
            lambda x, _, bias: bias is not None and x.ndim == 2,
        ),
    }
