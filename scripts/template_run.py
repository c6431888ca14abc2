"""One short run as a Lightning script, with its own process. Used by `bench.py sweep`.

Usage: python scripts/template_run.py ACTIVATION SEED DATA
"""

import logging
import sys
import tempfile
import warnings

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import CIFAR10

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore")
NUM_TRAIN, NUM_VAL, NUM_TEST, EPOCHS = 2000, 1000, 2000, 2


class Module(L.LightningModule):
    """The level `micro` of `net`, trained with the program's defaults."""

    def __init__(self, activation: str) -> None:
        super().__init__()
        act = {"relu": nn.ReLU, "tanh": nn.Tanh}[activation]
        layers: list[nn.Module] = []
        channels = 3
        for width in (8, 16, 32):
            for _ in range(2):
                layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), act()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        layers += [nn.Flatten(), nn.Linear(512, 128, bias=False), nn.BatchNorm1d(128), act(), nn.Linear(128, 10)]
        self.net = nn.Sequential(*layers)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        loss = F.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:
        self.log("val/accuracy", (self.net(batch[0]).argmax(1) == batch[1]).float().mean())

    def test_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:
        self.log("test/accuracy", (self.net(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> dict[str, object]:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)}


def main() -> None:
    activation, seed, root = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    L.seed_everything(seed, verbose=False)
    end = [transforms.ToTensor(), transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))]
    augmented = transforms.Compose([transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), *end])
    plain = transforms.Compose(end)
    train = Subset(CIFAR10(root, transform=augmented), range(NUM_TRAIN))
    val = Subset(CIFAR10(root, transform=plain), range(NUM_TRAIN, NUM_TRAIN + NUM_VAL))
    test = Subset(CIFAR10(root, train=False, transform=plain), range(NUM_TEST))
    module = Module(activation)
    trainer = L.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        devices=1,
        default_root_dir=tempfile.mkdtemp(),
        logger=L.pytorch.loggers.TensorBoardLogger(tempfile.mkdtemp()),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(
        module, DataLoader(train, batch_size=128, shuffle=True, drop_last=True), DataLoader(val, batch_size=500)
    )
    trainer.test(module, DataLoader(test, batch_size=500), verbose=False)


if __name__ == "__main__":
    main()
