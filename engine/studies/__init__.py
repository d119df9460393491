"""Studies: one configuration over devices, sizes and seeds, and what its runs answer together."""
