"""Compile StableHLO for a TPU topology with libtpu; no TPU is needed.

Run by the interpreter of an environment that has jax and libtpu and nothing of this project:
`python compile.py FOLDER`. It reads `FOLDER/compile.json` (`{"topology": …, "options": …,
"programs": [{"number": N, "chips": …}, …]}`), and `N.mlir` and `N.json` as export.py wrote them,
or a program as text. It writes `compiler.json`, libtpu's version; `N.hlo`, the compiled program;
and `N.compiled.json`: memory in bytes and FLOPs of each chip, and the seconds it took, or
`message`.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from jax.errors import JaxRuntimeError  # pyright: ignore[reportMissingImports]
from jax.experimental import topologies  # pyright: ignore[reportMissingImports]
from jax.interpreters.mlir import ir, make_ir_context  # pyright: ignore[reportMissingImports]
from jaxlib import xla_client  # pyright: ignore[reportMissingImports]
from jaxlib.mlir.dialects import stablehlo  # pyright: ignore[reportMissingImports]

BYTECODE = b"ML\xefR"  # what MLIR's begins with
MEMORY = ("argument", "output", "alias", "temp", "generated_code")


def main(folder: Path) -> None:
    asked = json.loads((folder / "compile.json").read_text("utf-8"))
    topology = topologies.get_topology_desc(asked["topology"], "tpu", **asked["options"])
    (folder / "compiler.json").write_text(json.dumps(importlib.metadata.version("libtpu")), "utf-8")
    for program in asked["programs"]:
        number, chips = program["number"], topology.devices[: program["chips"]]
        try:
            found = _compile(folder, number, chips)
        except JaxRuntimeError as error:
            found = {"message": str(error)}
        (folder / f"{number}.compiled.json").write_text(json.dumps(found), "utf-8")


def _compile(folder: Path, number: int, chips: list[Any]) -> dict[str, Any]:
    with make_ir_context() as context:
        module = _read(folder / f"{number}.mlir", context)
        signature = json.loads((folder / f"{number}.json").read_text("utf-8"))
        _sign(module, signature, len(chips))
        begun = time.perf_counter()
        executable = chips[0].client.compile(
            module,
            executable_devices=xla_client.DeviceList(tuple(chips)),
            compile_options=_options(chips),
        )
        compile_s = time.perf_counter() - begun
    (hlo,) = executable.hlo_modules()
    (folder / f"{number}.hlo").write_text(hlo.to_string(), "utf-8")
    memory = executable.get_compiled_memory_stats()
    sizes = {f"{part}_bytes": getattr(memory, f"{part}_size_in_bytes") for part in MEMORY}
    flops = executable.cost_analysis().get("flops", 0.0)  # XLA leaves out what is 0
    return sizes | {"flops": flops, "compile_s": compile_s}


def _read(path: Path, context: Any) -> Any:
    program = path.read_bytes()
    if program.startswith(BYTECODE):
        return stablehlo.deserialize_portable_artifact(context, program)
    return ir.Module.parse(program.decode("utf-8"))


def _sign(module: Any, signature: dict[str, dict[str, int]], chips: int) -> None:
    """Tell which arguments' memory the results take, and which arguments chips share by samples."""
    function = module.body.operations[0]
    attributes = [
        {name.name: name.attr for name in given} if given else {} for given in function.arg_attrs
    ]
    for argument, result in signature["aliases"].items():
        number = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), result)
        attributes[int(argument)]["tf.aliasing_output"] = number
    if chips > 1:
        for argument, given in enumerate(attributes):
            rank = len(ir.RankedTensorType(function.arguments[argument].type).shape)
            dim = signature["batch_dims"].get(str(argument))
            given["mhlo.sharding"] = ir.StringAttr.get(_sharding(rank, dim, chips))
    function.arg_attrs = ir.ArrayAttr.get([ir.DictAttr.get(given) for given in attributes])


def _sharding(rank: int, dim: int | None, chips: int) -> str:
    """HLO's notation: one number a dimension, how many parts it is in; parts are chips in order."""
    if dim is None:
        return "{replicated}"
    parts = ",".join(str(chips if axis == dim else 1) for axis in range(rank))
    return f"{{devices=[{parts}]<=[{chips}]}}"


def _options(chips: list[Any]) -> Any:
    """One program, partitioned over the chips."""
    options = xla_client.CompileOptions()
    options.num_replicas, options.num_partitions = 1, len(chips)
    build = options.executable_build_options
    build.num_replicas, build.num_partitions = 1, len(chips)
    build.use_spmd_partitioning = len(chips) > 1
    ids = np.array([[chip.id for chip in chips]])
    build.device_assignment = xla_client.DeviceAssignment.create(ids)
    return options


if __name__ == "__main__":
    main(Path(sys.argv[1]))
