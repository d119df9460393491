"""What one optimizer step takes: floating-point operations, counted once by PyTorch for all.

    python -m engine.flops CONFIG_JSON

prints the count as JSON, for a trainer whose own framework must not meet PyTorch. Counted on the
CPU with two small batches: what each operation takes grows by the same for every sample more.
PyTorch's meta device would do without arithmetic, and imports 3 s of its compiler.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine import keep, workloads
from engine.config import RunConfig
from engine.settings import PROJECT

COUNT_TIMEOUT_S = 120.0
COUNTED_AS = "in the config's precision"  # what was counted in another way is counted anew
# Tensors as large as the parameters that one update reads or writes: weights, gradients, moments.
SMALL_BATCHES = 2, 3  # batch normalisation takes no single sample
UPDATE_TENSORS = {"adam": 7, "adamw": 7, "sgd": 5}
# Operations that only say how memory is to be seen.
VIEWS = ("view", "t", "transpose", "permute", "detach", "expand", "reshape", "unsqueeze", "squeeze",
         "slice", "select", "split", "alias", "unbind", "_unsafe_view", "as_strided")  # fmt: skip


@dataclass(frozen=True)
class Count:
    """Of one step of the whole batch. `bytes` is an estimate: each operation as it is written reads
    what it takes from memory and writes what it gives, in the format that it has in the config's
    precision; a compiler that fuses them moves fewer.
    """

    parameters: int
    flops: int
    bytes: int


def of(config: RunConfig, cache: Path) -> Count | None:
    """The config's count, from the cache or made now; None where there is no PyTorch to count."""
    path = _kept_in(config, cache)
    kept = keep.read(path, Count)
    if kept is not None or importlib.util.find_spec("torch") is None:
        return kept
    try:
        counted = _in_another_process(config) if config.framework == "keras" else count(config)
    except (RuntimeError, MemoryError, OSError, subprocess.SubprocessError) as error:
        print(f"FLOPs were not counted: {error}", file=sys.stderr)
        return None
    keep.write(path, counted)
    return counted


def is_at_hand(config: RunConfig, cache: Path) -> bool:
    """Whether `of` answers at once: it was kept, or this process has PyTorch anyway."""
    return config.framework != "keras" or _kept_in(config, cache).exists()


def count(config: RunConfig) -> Count:
    """Count forward and backward pass with `FlopCounterMode`; needs PyTorch in this process."""
    small, larger = SMALL_BATCHES
    of_small, of_larger = _counted(config, small), _counted(config, larger)
    grown = (config.batch_size - small) / (larger - small)
    parameters, flops, moved = (
        round(few + (more - few) * grown) for few, more in zip(of_small, of_larger, strict=True)
    )
    update_bytes = UPDATE_TENSORS[config.optimizer] * 4 * parameters
    return Count(parameters, flops, moved + update_bytes)


def _counted(config: RunConfig, batch_size: int) -> tuple[int, int, int]:
    """Parameters; FLOPs and bytes of both passes. Attention counts as the products it is.

    In bf16 and fp16, which are alike in size, operations have the formats that autocast gives them;
    weights are cast in each step.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    workload = workloads.load(config.workload.name)
    model = workload.torch_model(config.workload, config.dataset, seed=0)
    images = torch.zeros((batch_size, *config.dataset.shape), dtype=torch.uint8)
    labels = torch.zeros(batch_size, dtype=torch.int64)
    moved, in_half = _moved_bytes(), config.precision in ("bf16", "fp16")
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as flops, moved:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=in_half):
            logits = model(images).float()
        torch.nn.functional.cross_entropy(logits, labels).backward()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return parameters, flops.get_total_flops(), moved.total


def _moved_bytes() -> Any:
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class MovedBytes(TorchDispatchMode):
        """Sums the sizes of all tensors that operations take and give."""

        total = 0

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            given = func(*args, **(kwargs or {}))
            if func.overloadpacket.__name__ not in VIEWS:
                tensors = [leaf for leaf in tree_leaves((args, given)) if hasattr(leaf, "nbytes")]
                self.total += sum(tensor.nbytes for tensor in tensors)
            return given

    return MovedBytes()


def _in_another_process(config: RunConfig) -> Count:
    command = [sys.executable, "-m", "engine.flops", config.model_dump_json()]
    done = subprocess.run(
        command, cwd=PROJECT, capture_output=True, timeout=COUNT_TIMEOUT_S, check=True
    )
    return Count(**json.loads(done.stdout))


def _kept_in(config: RunConfig, cache: Path) -> Path:
    return cache / f"flops-{_program(config)}.json"


def _program(config: RunConfig) -> str:
    parts = {
        "workload": workloads.identity(config.workload),
        "shape": config.dataset.shape,
        "classes": config.dataset.classes,
        "batch_size": config.batch_size,
        "optimizer": config.optimizer,
        "precision": config.precision,
        "counted": COUNTED_AS,
    }
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(count(RunConfig.parse(json.loads(sys.argv[1]))))))
