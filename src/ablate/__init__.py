"""Ablation experiments that say whether a training recommendation holds for a net, its data and its budget."""

import os

# Large tensors on huge pages, where Linux has them on request; PyTorch reads this at its first allocation.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
