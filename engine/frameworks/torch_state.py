"""A PyTorch model and its optimizer as named arrays, and back, to the last bit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.checkpoints import WEIGHTS, State
from engine.frameworks.torch_update import Slots

if TYPE_CHECKING:
    import torch

OPTIMIZER, SCALER = "optimizer.", "scaler"


def saved(model: torch.nn.Module, slots: Slots, scaler: Any = None) -> State:
    """Weights and buffers as the model names them; the optimizer's by number of parameter."""
    state = {f"{WEIGHTS}{name}": _array(value) for name, value in model.state_dict().items()}
    for index, kept in enumerate(slots):
        state |= {f"{OPTIMIZER}{index}.{slot}": _array(value) for slot, value in kept.items()}
    if scaler is not None and scaler.is_enabled():
        state[SCALER] = np.frombuffer(json.dumps(scaler.state_dict()).encode(), np.uint8)
    return state


def restored(state: State, model: torch.nn.Module, scaler: Any = None) -> Slots:
    """Put the weights into the model; the optimizer's slots, for it to take, on the host."""
    import torch

    tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    weights = {n.removeprefix(WEIGHTS): t for n, t in tensors.items() if n.startswith(WEIGHTS)}
    model.load_state_dict(weights)
    if SCALER in state and scaler is not None:
        scaler.load_state_dict(json.loads(state[SCALER].tobytes()))
    slots: Slots = [{} for _ in model.parameters()]
    for name, tensor in tensors.items():
        if name.startswith(OPTIMIZER):
            index, slot = name.removeprefix(OPTIMIZER).split(".", 1)
            slots[int(index)][slot] = tensor
    return slots


def _array(value: torch.Tensor) -> Any:
    return value.detach().cpu().numpy().copy()
