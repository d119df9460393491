"""Bytes between HBM and the chip in one run of a compiled program, counted from its HLO text.

XLA's own "bytes accessed" adds what moves within the chip's VMEM: several times what HBM sees, so
no bound on time follows from it. Here each instruction reads its operands once and writes its
results once, where they lie in HBM; of an operand that is only sliced or gathered from, what is
taken. Loops count as often as the compiler knows that they run, and at least once; conditional
parts count nothing. So the sum is what must move at least, for this program as compiled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# HLO's notation, https://openxla.org/xla/shapes: `f32[128,784]{0,1:T(8,128)S(1)}`; `S(1)` and up
# are memories on the chip, none is HBM.
ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\](?:\{([^{}]*)\})?")
HEADER = re.compile(r"^(ENTRY )?%([\w.-]+) \(.*\{$")
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%([\w.-]+) = (.*)$")
CALLED = re.compile(r"\b(?:calls|body|to_apply)=%([\w.-]+)")
TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')

MOVE_NOTHING = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"),
    *("partition-id", "replica-id", "conditional", "opt-barrier"),
}
TAKE_A_PART = {"gather", "dynamic-slice", "slice", "copy", "async", "x64"}
WRITE_A_PART = {"dynamic-update-slice", "scatter"}
SAME_BYTES = {"bitcast", "reshape", "transpose", "copy"}


@dataclass(frozen=True)
class Instruction:
    name: str
    opcode: str
    bytes: int  # of its result, wherever that lies
    in_hbm: int  # of its result, in HBM
    operands: tuple[str, ...]
    position: int  # of a parameter
    called: str | None
    trips: int


Computation = dict[str, Instruction]
Computations = dict[str, Computation]


def hbm_bytes(hlo: str) -> int:
    """Of the program's entry; 0 for text without one."""
    computations, entry = _parse(hlo)
    return _of_computation(computations, entry) if entry else 0


def _of_computation(all_of: Computations, name: str) -> int:
    return sum(_of_instruction(all_of, all_of[name], each) for each in all_of[name].values())


def _of_instruction(all_of: Computations, around: Computation, this: Instruction) -> int:
    opcode, operands = this.opcode, this.operands
    if opcode in MOVE_NOTHING or opcode.endswith("-start"):
        return 0  # what was started is counted where it is done
    if opcode in ("while", "call"):
        return this.trips * _of_computation(all_of, this.called) if this.called else 0
    if opcode.endswith("-done"):
        opcode, operands = opcode.removesuffix("-done"), around[operands[0]].operands
    given = [around[name] for name in operands]
    if opcode == "fusion" and this.called:
        return _of_fusion(all_of, this, given)
    if opcode in WRITE_A_PART:
        return 2 * sum(operand.in_hbm for operand in given[1:])
    limit = this.bytes if opcode in TAKE_A_PART else None
    return this.in_hbm + sum(_at_most(operand.in_hbm, limit) for operand in given)


def _of_fusion(all_of: Computations, this: Instruction, given: list[Instruction]) -> int:
    """What it writes in place it neither reads nor writes in full: of that, nothing is counted."""
    inside = all_of[this.called or ""]
    in_place = any(each.opcode in WRITE_A_PART for each in inside.values())
    total = 0 if in_place else this.in_hbm
    for parameter, operand in zip(_parameters(inside), given, strict=True):
        if not (in_place and operand.bytes == this.bytes):
            total += _at_most(operand.in_hbm, _taken(all_of, inside, parameter))
    return total


def _taken(all_of: Computations, inside: Computation, name: str) -> int | None:
    """Bytes that are sliced or gathered from a value; None if it is used in another way."""
    parts = [
        _taken_by(all_of, inside, user, name) for user in inside.values() if name in user.operands
    ]
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _taken_by(
    all_of: Computations, inside: Computation, user: Instruction, name: str
) -> int | None:
    at = user.operands.index(name)
    if user.opcode in SAME_BYTES:
        return _taken(all_of, inside, user.name)
    if user.opcode == "fusion" and user.called:
        called = all_of[user.called]
        return _taken(all_of, called, _parameters(called)[at])
    return user.bytes if user.opcode in TAKE_A_PART and at == 0 else None


def _parameters(computation: Computation) -> list[str]:
    found = [each for each in computation.values() if each.opcode == "parameter"]
    return [each.name for each in sorted(found, key=lambda each: each.position)]


def _at_most(size: int, limit: int | None) -> int:
    return size if limit is None else min(size, limit)


def _parse(hlo: str) -> tuple[Computations, str | None]:
    computations: Computations = {}
    entry, current = None, {}
    for line in hlo.splitlines():
        if header := HEADER.match(line):
            current = computations.setdefault(header[2], {})
            entry = header[2] if header[1] else entry
        elif found := INSTRUCTION.match(line):
            current[found[1]] = _instruction(found[1], found[2])
    return computations, entry


def _instruction(name: str, text: str) -> Instruction:
    """`f32[8]{0} add(%a, %b), …`, or a tuple of shapes in parentheses before the opcode."""
    shape, rest = _split(text) if text.startswith("(") else text.split(" ", 1)
    opcode, _, arguments = rest.strip().partition("(")
    operands, attributes = _split("(" + arguments)
    arrays = [_array(*found) for found in ARRAY.findall(shape)]
    called, trips = CALLED.search(attributes), TRIPS.search(attributes)
    return Instruction(
        name,
        "x64" if 'custom_call_target="X64' in attributes else opcode,
        sum(size for size, _ in arrays),
        sum(size for size, hbm in arrays if hbm),
        tuple(re.findall(r"%([\w.-]+)", operands)),
        int(operands[1:-1]) if opcode == "parameter" else 0,
        called[1] if called else None,
        int(trips[1]) if trips else 1,
    )


def _split(text: str) -> tuple[str, str]:
    """`(…)rest` -> `(…)` and `rest`, at the parenthesis that closes the first."""
    depth = 0
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return text[: at + 1], text[at + 1 :]
    return text, ""


def _array(kind: str, dimensions: str, layout: str) -> tuple[int, bool]:
    """Its bytes without padding, and whether it lies in HBM. `pred` and the like take a byte."""
    count = 1
    for size in filter(None, dimensions.split(",")):
        count *= int(size)
    bits = re.search(r"\d+", kind)
    return count * int(bits[0] if bits else 8) // 8, not re.search(r"S\([1-9]", layout)
