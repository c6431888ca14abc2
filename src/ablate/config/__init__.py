"""The conf folders, read without Hydra: levels, the rules for their keys, and KEY=VALUE strings."""
