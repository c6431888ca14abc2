"""Data sets, and what is done to their images before the net sees them."""

from ablate.data.arrays import ArrayFile as ArrayFile
from ablate.data.augmentation import Augmentation as Augmentation
from ablate.data.cifar10 import Cifar10 as Cifar10
from ablate.data.ct_lesions import CtLesions as CtLesions
from ablate.data.dataset import Dataset as Dataset
from ablate.data.dataset import Split as Split
from ablate.data.image_folder import ImageFolder as ImageFolder
from ablate.data.polygon import Polygon as Polygon
from ablate.data.preprocessing import Chain as Chain
from ablate.data.shapes import Shapes as Shapes
from ablate.data.torchvision_sets import TorchvisionSet as TorchvisionSet
