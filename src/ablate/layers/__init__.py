"""The ablated choices, in torch alone: activation, initialization, normalization and dropout."""

from ablate.layers import activation as activation
from ablate.layers import batch_norm as batch_norm
from ablate.layers import dropout as dropout
from ablate.layers import initialization as initialization
from ablate.layers import lsuv as lsuv
from ablate.layers import normalization as normalization
from ablate.layers import weight_standardization as weight_standardization
