"""Forward and backward pass of a step on a CPU: recorded once, then replayed below Python.

What a CUDA graph is to a GPU. The operations are those that PyTorch took, in their order and by its
own kernels, so every number is the same to the last bit; left out are the model's Python and the
autograd engine. Shapes are fixed by the recording, and so is the way through the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call
from torch.jit._fuser import optimized_execution
from torch.utils._python_dispatch import TorchDispatchMode

LossOf = Callable[[Tensor, Tensor], Tensor]


class Call(NamedTuple):
    function: Any
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    results: Any


class Tape(TorchDispatchMode):
    """Every operation that reaches PyTorch's kernels, with its tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        self.calls.append(Call(func, args, kwargs or {}, results))
        return results


class Recorded:
    """Takes a batch like the one it was recorded with, and leaves gradients in the parameters."""

    def __init__(
        self, model: torch.nn.Module, loss_of: LossOf, images: Tensor, labels: Tensor
    ) -> None:
        named = dict(model.named_parameters()) | dict(model.named_buffers())
        self._parameters = list(model.parameters())
        self._state = [tensor.detach() for tensor in named.values()]
        stand_ins = [tensor.detach().clone() for tensor in named.values()]
        for tensor in stand_ins[: len(self._parameters)]:
            tensor.requires_grad_()
        with Tape() as tape:
            logits = functional_call(model, dict(zip(named, stand_ins, strict=True)), (images,))
            loss = loss_of(logits, labels)
            gradients = torch.autograd.grad(loss, stand_ins[: len(self._parameters)])
        self._replay = _compiled(
            tape.calls, [images, labels, *stand_ins], [loss, logits, *gradients]
        )

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and logits."""
        loss, logits, *gradients = self._replay(images, labels, *self._state)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        return loss, logits


def _compiled(calls: list[Call], given: list[Tensor], wanted: list[Tensor]) -> Any:
    """The calls as a TorchScript function from `given` to `wanted`.

    It runs them as they stand: TorchScript's optimizer would make other sums of some, and not
    before the third time.
    """
    names = {id(tensor): f"given_{number}" for number, tensor in enumerate(given)}
    arguments = ", ".join(names.values())
    lines = [
        f"def replay({arguments}):",
        *(f"    {_line(n, call, names)}" for n, call in enumerate(calls)),
    ]
    lines.append(f"    return {', '.join(names[id(tensor)] for tensor in wanted)}")
    replay = torch.jit.CompilationUnit("\n".join([*lines, ""])).replay

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad(), optimized_execution(False):
            return replay(*tensors)

    return run


def _line(number: int, call: Call, names: dict[int, str]) -> str:
    """The call as a line of TorchScript. What it gives gets a name, for later lines.

    In place, it gives what it was given: that has its new name from here on.
    """
    given = [_literal(value, names) for value in call.arguments]
    given += [f"{name}={_literal(value, names)}" for name, value in call.keywords.items()]
    results = call.results if isinstance(call.results, tuple | list) else [call.results]
    left = [f"made_{number}_{place}" for place in range(len(results))]
    names |= {id(result): name for result, name in zip(results, left, strict=True)}
    return f"{', '.join(left)} = torch.ops.{call.function.overloadpacket}({', '.join(given)})"


def _literal(value: Any, names: dict[int, str]) -> str:
    match value:
        case Tensor():
            return names[id(value)]
        case list() | tuple():
            return f"[{', '.join(_literal(one, names) for one in value)}]"
        case torch.device():
            return f'torch.device("{value}")'
        case float() if not math.isfinite(value):
            return f'float("{value}")'
    return repr(value)
