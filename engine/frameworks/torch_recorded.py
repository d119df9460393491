"""A training step on a CPU: recorded once, then replayed below Python, many at a time.

What a CUDA graph is to a GPU. The operations are those that PyTorch took, in their order and by its
own kernels, so every number is the same to the last bit; left out are Python and the autograd
engine. Shapes are fixed by the recording, and so is the way through the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.jit._fuser import optimized_execution
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary


class NotRecordable(RuntimeError):
    """A step does what a recording would not do again."""


class Tape(TorchDispatchMode):
    """Every operation that reaches PyTorch's kernels, as a line of TorchScript.

    Tensors are known by name and not kept: recording takes no more memory than the step. What
    cannot be recorded is noted in `problem`, and the step goes on.
    """

    def __init__(self, given: list[Tensor]) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.lists: list[list[Tensor]] = []
        self.problem = ""
        self._given = WeakTensorKeyDictionary()
        self._made = WeakTensorKeyDictionary()
        for number, tensor in enumerate(given):
            self._given[tensor] = f"given_{number}"

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [self._literal(value) for value in args]
        named = {name: self._literal(value) for name, value in (kwargs or {}).items()}
        results = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.detach.default:  # for autograd alone, which a replay is without
            self._made[results] = given[0]
            return results
        self._check_lists(func, given)
        given += [f"{name}={value}" for name, value in named.items()]
        call = f"torch.ops.{func.overloadpacket}({', '.join(given)})"
        self.lines.append(self._named(results, str(func)) + call)
        return results

    def script(self, given: int) -> str:
        """`replay(steps, given_0 …, list_0 …)`, which takes the recorded step so many times."""
        arguments = [f"given_{number}" for number in range(given)]
        arguments += [f"list_{number}: List[Tensor]" for number in range(len(self.lists))]
        body = "".join(f"        {line}\n" for line in self.lines)
        return (
            f"def replay(steps: int, {', '.join(arguments)}):\n    for _ in range(steps):\n{body}"
        )

    def _named(self, results: Any, operation: str) -> str:
        """Names for what an operation gives, as the left side of its line. What it was given and
        gives back, as in place, keeps its name.
        """
        several = results if isinstance(results, tuple | list) else [results]
        if results is None or all(value in self._given for value in several):
            return ""
        names = [f"made_{len(self.lines)}_{place}" for place in range(len(several))]
        for name, result in zip(names, several, strict=True):
            if isinstance(result, Tensor):
                self._made[result] = name
            elif result is not None:
                self.problem = f"{operation} gives the model a number, which may change."
        return ", ".join(names) + ("," if isinstance(results, list) else "") + " = "

    def _literal(self, value: Any) -> str:
        match value:
            case Tensor():
                return self._name_of(value)
            case list() | tuple():
                return self._list(value)
            case torch.device():
                return f'torch.device("{value}")'
            case float() if not math.isfinite(value):
                return f'float("{value}")'
        return repr(value)

    def _name_of(self, tensor: Tensor) -> str:
        name = self._given.get(tensor) or self._made.get(tensor)
        if name is None:
            self.problem = "The model uses a tensor that is no parameter or buffer."
        return name or ""

    def _list(self, values: Sequence[Any]) -> str:
        """A list of lasting tensors is handed to the script, since TorchScript takes what changes
        the tensors of a list of its own for dead code.
        """
        if values and all(isinstance(v, Tensor) and v in self._given for v in values):
            self.lists.append(list(values))
            return f"list_{len(self.lists) - 1}"
        return f"[{', '.join(map(self._literal, values))}]"

    def _check_lists(self, func: Any, given: list[str]) -> None:
        changed = [
            literal
            for literal, argument in zip(given, func._schema.arguments, strict=False)
            if literal.startswith(("list_", "["))
            and argument.alias_info is not None
            and argument.alias_info.is_write
        ]
        if changed and not any(literal.startswith("list_") for literal in changed):
            self.problem = f"{func} changes a list of tensors that do not last."


class Recording:
    """A step that was taken once under a tape, and is taken again with each call.

    Whatever it works on is in `given`: tensors that stay where they are, changed in place.
    """

    def __init__(self, step: Callable[[], None], given: list[Tensor]) -> None:
        """Take `step`; raise `NotRecordable` after it was taken."""
        with Tape(given) as tape:
            step()
        if tape.problem:
            raise NotRecordable(tape.problem)
        self._given = [*given, *tape.lists]
        self._replay = _compiled(tape.script(len(given)))

    def __call__(self, steps: int) -> None:
        """Take so many steps more. TorchScript's optimizer would make other sums of some
        operations, and not before the third time.
        """
        with torch.no_grad(), optimized_execution(False):
            self._replay(steps, *self._given)


def _compiled(script: str) -> Any:
    """By itself, since PyTorch keeps the locals of whoever compiles."""
    try:
        return torch.jit.CompilationUnit(script).replay
    except RuntimeError as error:
        raise NotRecordable(f"TorchScript has no words for it: {error}") from error
