"""The TPU generations that libtpu compiles for here, and what the bounds are made of.

Peaks and bandwidths are those of the pages on v4, v5e, v5p and v6e in Google's Cloud TPU
documentation, "System architecture". (Editions of v5e's page differ: 819 GB/s, 800 GB/s.) HBM is
what libtpu 0.0.52 calls available when a program asks for too much, not the sizes on those pages,
32, 16, 95 and 32 GB.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.config import RunConfig
from engine.problems import ConfigError, Problem, shown

GIB = 2**30


class Chip(NamedTuple):
    """One chip, which is one device: v4's two cores work as one ("megacore"), as under PyTorch."""

    generation: str
    peak_flops: float  # per second, dense bf16
    hbm_bytes_per_s: float
    hbm_bytes: int  # that a program may use
    options: dict[str, str]  # libtpu's, beside the topology


CHIPS = {
    "v4": Chip("v4", 275e12, 1228e9, int(30.75 * GIB), {"chip_config_name": "megacore"}),
    "v5e": Chip("v5e", 197e12, 819e9, int(15.75 * GIB), {}),
    "v5p": Chip("v5p", 459e12, 2765e9, int(95.73 * GIB), {}),
    "v6e": Chip("v6e", 918e12, 1638e9, int(31.24 * GIB), {}),
}
FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
SOLID = ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4")
SHAPES = {"v4": SOLID, "v5e": FLAT, "v5p": SOLID, "v6e": FLAT}
TOPOLOGIES = tuple(f"{chip}:{shape}" for chip, shapes in SHAPES.items() for shape in shapes)
DEFAULT_TOPOLOGY = "v5e:2x2"


def chip_of(topology: str) -> Chip:
    """Raise `ConfigError` for a topology that does not exist."""
    if topology not in TOPOLOGIES:
        choices = ", ".join(TOPOLOGIES)
        sentence = f"Unknown topology {shown(topology)}. Choose one of: {choices}."
        raise ConfigError([Problem("topology", sentence)])
    return CHIPS[topology.partition(":")[0]]


def count_of(topology: str) -> int:
    """`v5e:2x4` has 8 chips."""
    count = 1
    for side in topology.partition(":")[2].split("x"):
        count *= int(side)
    return count


def check_room(config: RunConfig, topology: str) -> None:
    """Raise `ConfigError` if the topology does not exist or has fewer chips than the config."""
    chip_of(topology)
    if config.device_count > count_of(topology):
        sentence = (
            f"Topology {topology} has {count_of(topology)} chips, got {config.device_count} "
            "devices. Choose a larger topology, or fewer devices."
        )
        raise ConfigError([Problem("devices", sentence)])
