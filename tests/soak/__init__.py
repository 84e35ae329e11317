"""A long mixed load with kills and faults, and proof that nothing is left of it (`scripts/soak`)."""
