"""Ablation experiments that say whether a training recommendation holds for a net, its data and its budget."""

import os

# Huge pages for tensors of 2 MB and more, where Linux gives them on request. PyTorch reads this at its first
# allocation, so it stands where all processes pass first, workers too.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
