"""Forward and backward pass of a step on a CPU: recorded once, then replayed below Python.

What a CUDA graph is to a GPU. The operations are those that PyTorch took, in their order and by its
own kernels, so every number is the same to the last bit; left out are the model's Python and the
autograd engine. Shapes are fixed by the recording, and so is the way through the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.jit._fuser import optimized_execution
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

LossOf = Callable[[Tensor, Tensor], Tensor]


class NotRecordable(RuntimeError):
    """A model does what a recording would not do again."""


class Tape(TorchDispatchMode):
    """Every operation that reaches PyTorch's kernels, as a line of TorchScript.

    Tensors are known by name and not kept: recording takes no more memory than the step.
    """

    def __init__(self, given: list[Tensor]) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._names = WeakTensorKeyDictionary()
        for number, tensor in enumerate(given):
            self._names[tensor] = f"given_{number}"

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [self.literal(value) for value in args]
        given += [f"{name}={self.literal(value)}" for name, value in (kwargs or {}).items()]
        results = func(*args, **(kwargs or {}))
        left = self._named(results, str(func))
        self.lines.append(f"{left} = torch.ops.{func.overloadpacket}({', '.join(given)})")
        return results

    def _named(self, results: Any, operation: str) -> str:
        """Names for what an operation gives. In place, it gives what it was given: that has its
        new name from here on.
        """
        several = results if isinstance(results, tuple | list) else [results]
        names = [f"made_{len(self.lines)}_{place}" for place in range(len(several))]
        for name, result in zip(names, several, strict=True):
            if isinstance(result, Tensor):
                self._names[result] = name
            elif result is not None:
                raise NotRecordable(f"{operation} gives the model a number, which may change.")
        return ", ".join(names) + ("," if isinstance(results, list) else "")

    def literal(self, value: Any) -> str:
        match value:
            case Tensor():
                if value not in self._names:
                    raise NotRecordable("The model uses a tensor that is no parameter or buffer.")
                return self._names[value]
            case list() | tuple():
                return f"[{', '.join(map(self.literal, value))}]"
            case torch.device():
                return f'torch.device("{value}")'
            case float() if not math.isfinite(value):
                return f'float("{value}")'
        return repr(value)


class Recorded:
    """Takes a batch like the one it was recorded with, and leaves gradients in the parameters."""

    def __init__(
        self, model: torch.nn.Module, loss_of: LossOf, images: Tensor, labels: Tensor
    ) -> None:
        """Raise `NotRecordable`."""
        named = dict(model.named_parameters()) | dict(model.named_buffers())
        self._parameters = list(model.parameters())
        self._state = [tensor.detach() for tensor in named.values()]
        stand_ins = [tensor.detach().clone() for tensor in named.values()]
        trained = stand_ins[: len(self._parameters)]
        for tensor in trained:
            tensor.requires_grad_()
        given = [images, labels, *stand_ins]
        with Tape(given) as tape:
            logits = functional_call(model, dict(zip(named, stand_ins, strict=True)), (images,))
            loss = loss_of(logits, labels)
            gradients = torch.autograd.grad(loss, trained)
        wanted = [tape.literal(tensor) for tensor in (loss, logits, *gradients)]
        self._replay = _compiled(_script(len(given), tape.lines, wanted))

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and logits. TorchScript's optimizer would make other sums of some operations, and
        not before the third time.
        """
        for parameter in self._parameters:
            parameter.grad = None
        with torch.no_grad(), optimized_execution(False):
            loss, logits, *gradients = self._replay(images, labels, *self._state)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        return loss, logits


def _script(given: int, lines: list[str], wanted: list[str]) -> str:
    arguments = ", ".join(f"given_{number}" for number in range(given))
    body = "".join(f"    {line}\n" for line in lines)
    return f"def replay({arguments}):\n{body}    return {', '.join(wanted)}\n"


def _compiled(script: str) -> Any:
    """By itself, since PyTorch keeps the locals of whoever compiles."""
    return torch.jit.CompilationUnit(script).replay
