"""One optimizer step by PyTorch's own fused kernels.

Without `torch.optim`: in a small model what its optimizers do around a kernel costs more than the
kernel, and making one imports PyTorch's compiler, which takes seconds and is not used here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from engine.config import RunConfig
from engine.frameworks import ADAM_EPSILON, ADAMW_WEIGHT_DECAY, SGD_MOMENTUM

if TYPE_CHECKING:
    from torch import Tensor

Slots = list[dict[str, "Tensor"]]  # for each parameter, what its optimizer keeps of it
BETAS = {"beta1": 0.9, "beta2": 0.999}
WAYS = {"amsgrad": False, "maximize": False}


class Update:
    """Takes all parameters a step further, at the learning rate that the tensor `rate` holds.

    It has what `torch.GradScaler` wants of an optimizer: `param_groups`, `step`, and that its
    kernels take the scale by themselves.
    """

    _step_supports_amp_scaling = True

    def __init__(self, config: RunConfig, parameters: Iterable[Tensor], rate: Tensor) -> None:
        import torch

        self._parameters = list(parameters)
        self.param_groups = [{"params": self._parameters}]
        self._axes = [_memory_order(parameter) for parameter in self._parameters]
        self._rate, self._taken = rate, torch.zeros((), device=rate.device)
        self._slots = {
            name: [torch.zeros_like(parameter) for parameter in self._parameters]
            for name in _SLOTS[config.optimizer]
        }
        self._in_order = [
            self._contiguous(tensors) for tensors in (self._parameters, *self._slots.values())
        ]
        self._kernel = self._bound(config)

    def tensors(self) -> list[Tensor]:
        """What a step reads and changes beside the gradients; all stay where they are."""
        return [self._rate, self._taken, *itertools.chain(*self._in_order)]

    def step(self) -> None:
        """After a backward pass. `GradScaler` leaves its scale here, and whether to skip."""
        gradients: Any = [parameter.grad for parameter in self._parameters]
        scale, found_inf = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        self._taken += 1
        self._kernel(self._contiguous(gradients), grad_scale=scale, found_inf=found_inf)
        if found_inf is not None:
            self._taken -= found_inf

    def slots(self) -> Slots:
        """As `torch.optim` names them, for a checkpoint."""
        kept = [dict(zip(self._slots, tensors, strict=True)) for tensors in self._by_parameter()]
        return [{"step": self._taken, **slots} for slots in kept]

    def take(self, saved: Slots) -> None:
        """Go on from `saved`, in the tensors that the kernel knows."""
        for mine, theirs in zip(self.slots(), saved, strict=True):
            for name in mine.keys() & theirs.keys():  # sgd's had no step once, and needs none
                mine[name].copy_(theirs[name])

    def _by_parameter(self) -> Iterable[tuple[Tensor, ...]]:
        return zip(*self._slots.values(), strict=True)

    def _contiguous(self, tensors: Iterable[Tensor]) -> list[Tensor]:
        """The same memory, its axes in order: the kernels copy what is transposed, and back."""
        pairs = zip(tensors, self._axes, strict=True)
        return [tensor.detach().permute(axes) for tensor, axes in pairs]

    def _bound(self, config: RunConfig) -> Callable[..., None]:
        """The kernel, lacking the gradients and what a `GradScaler` says."""
        import torch

        rate, (weights, *slots) = self._rate, self._in_order
        steps = [self._taken] * len(weights)
        if config.optimizer == "sgd":
            fixed: dict[str, Any] = {
                "weight_decay": 0.0,
                "momentum": SGD_MOMENTUM,
                "dampening": 0.0,
            }
            fixed |= {"nesterov": False, "maximize": False, "is_first_step": False, "lr": rate}
            return lambda gradients, **scaler: torch._fused_sgd_(
                weights, gradients, *slots, **fixed, **scaler
            )
        decays = config.optimizer == "adamw"
        kernel: Any = torch._fused_adamw_ if decays else torch._fused_adam_
        decay = ADAMW_WEIGHT_DECAY if decays else 0.0
        fixed = {**BETAS, **WAYS, "weight_decay": decay, "eps": ADAM_EPSILON, "lr": rate}
        return lambda gradients, **scaler: kernel(
            weights, gradients, *slots, [], steps, **fixed, **scaler
        )


_ADAM = ("exp_avg", "exp_avg_sq")
_SLOTS = {"adam": _ADAM, "adamw": _ADAM, "sgd": ("momentum_buffer",)}


def _memory_order(parameter: Tensor) -> list[int]:
    """Its axes from the slowest to the fastest in memory."""
    if parameter.is_contiguous():  # with axes of one element, strides do not tell
        return list(range(parameter.dim()))
    return sorted(range(parameter.dim()), key=parameter.stride, reverse=True)
