"""A PyTorch model and its optimizer as named arrays, and back, to the last bit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.checkpoints import WEIGHTS, State

if TYPE_CHECKING:
    import torch

OPTIMIZER, SCALER = "optimizer.", "scaler"


def saved(model: torch.nn.Module, optimizer: torch.optim.Optimizer, scaler: Any = None) -> State:
    """Weights and buffers as the model names them; the optimizer's by number of parameter."""
    state = {f"{WEIGHTS}{name}": _array(value) for name, value in model.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        state |= {f"{OPTIMIZER}{index}.{slot}": _array(value) for slot, value in slots.items()}
    if scaler is not None and scaler.is_enabled():
        state[SCALER] = np.frombuffer(json.dumps(scaler.state_dict()).encode(), np.uint8)
    return state


def restored(
    state: State, model: torch.nn.Module, optimizer: torch.optim.Optimizer, scaler: Any = None
) -> None:
    import torch

    tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    weights = {n.removeprefix(WEIGHTS): t for n, t in tensors.items() if n.startswith(WEIGHTS)}
    model.load_state_dict(weights)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(OPTIMIZER):
            index, slot = name.removeprefix(OPTIMIZER).split(".", 1)
            slots.setdefault(int(index), {})[slot] = _laid_out_as(parameters[int(index)], tensor)
    rates = [group["lr"] for group in optimizer.param_groups]  # ours: loading would replace them
    optimizer.load_state_dict(optimizer.state_dict() | {"state": slots})
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    if SCALER in state and scaler is not None:
        scaler.load_state_dict(json.loads(state[SCALER].tobytes()))


def _laid_out_as(parameter: torch.Tensor, slot: torch.Tensor) -> torch.Tensor:
    """In the memory order of its parameter: fused updates walk both from end to end."""
    import torch

    if slot.shape != parameter.shape:
        return slot
    return torch.empty_like(parameter, device="cpu", dtype=slot.dtype).copy_(slot)


def _array(value: torch.Tensor) -> Any:
    return value.detach().cpu().numpy().copy()
