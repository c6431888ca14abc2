"""What stands in the conf folders, read as text without Hydra: levels, the rules of their keys, KEY=VALUE strings."""
