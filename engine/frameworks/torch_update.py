"""PyTorch's fused update kernels, without what its optimizers do around them at every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.config import RunConfig
from engine.frameworks import ADAM_EPSILON, ADAMW_WEIGHT_DECAY, SGD_MOMENTUM

if TYPE_CHECKING:
    import torch

BETAS = {"beta1": 0.9, "beta2": 0.999}


def of(
    config: RunConfig, optimizer: torch.optim.Optimizer, rate: torch.Tensor
) -> Callable[[], None]:
    """The update that `optimizer.step()` would do, once it has made its state."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    states = [optimizer.state[parameter] for parameter in parameters]
    makers = {"adam": _adam, "adamw": _adam, "sgd": _sgd}
    return makers[config.optimizer](config, parameters, states, rate)


def _adam(
    config: RunConfig,
    parameters: list[torch.Tensor],
    states: list[dict[str, Any]],
    rate: torch.Tensor,
) -> Callable[[], None]:
    import torch

    decays = config.optimizer == "adamw"
    kernel = torch._fused_adamw_ if decays else torch._fused_adam_
    means, squares, steps = (
        [state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step")
    )
    fixed = {
        **BETAS,
        "weight_decay": ADAMW_WEIGHT_DECAY if decays else 0.0,
        "eps": ADAM_EPSILON,
        "amsgrad": False,
        "maximize": False,
    }

    def update() -> None:
        gradients: Any = [parameter.grad for parameter in parameters]
        with torch.no_grad():
            torch._foreach_add_(steps, 1)
            kernel(parameters, gradients, means, squares, [], steps, lr=rate, **fixed)

    return update


def _sgd(
    config: RunConfig,
    parameters: list[torch.Tensor],
    states: list[dict[str, Any]],
    rate: torch.Tensor,
) -> Callable[[], None]:
    import torch

    momenta = [state["momentum_buffer"] for state in states]
    fixed = {
        "weight_decay": 0.0,
        "momentum": SGD_MOMENTUM,
        "dampening": 0.0,
        "nesterov": False,
        "maximize": False,
        "is_first_step": False,
    }

    def update() -> None:
        gradients: Any = [parameter.grad for parameter in parameters]
        with torch.no_grad():
            torch._fused_sgd_(parameters, gradients, momenta, lr=rate, **fixed)

    return update
