"""Every level of the groups data, preprocessing and augmentation, composed as the program composes it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig

from ablate.cli.hydra_version import of_composing
from ablate.data.augmentation import Augmentation
from ablate.data.preprocessing import Chain

CONF = Path(__file__).resolve().parents[2] / "conf"
PREPROCESSING = sorted(file.stem for file in (CONF / "preprocessing").glob("*.yaml"))
AUGMENTATION = sorted(file.stem for file in (CONF / "augmentation").glob("*.yaml"))
DATA = sorted(file.stem for file in (CONF / "data").glob("*.yaml"))


@pytest.fixture
def settings(tmp_path: Path) -> Any:
    """Compose the three groups from overrides."""
    groups = "defaults:\n- data: shapes\n- preprocessing: raw\n- augmentation: none\n- _self_\n"
    (tmp_path / "root.yaml").write_text(groups + f"hydra:\n  searchpath: ['file://{CONF}']\n")

    def build(*overrides: str) -> DictConfig:
        with initialize_config_dir(str(tmp_path), **of_composing()):
            return compose("root", list(overrides))

    return build


def make(config: DictConfig) -> Any:
    return instantiate(config, _convert_="all")


def test_levels_are_those_of_the_lecture() -> None:
    assert set(PREPROCESSING) >= {
        *("raw", "scale", "center_mean_image", "center_channel", "standardize", "decorrelate", "whiten"),
        *("patch_whiten", "window", "quantize", "window_standardize", "quantize_standardize"),
    }
    assert set(AUGMENTATION) >= {"none", "flip", "crop_flip", "cutout"}
    assert set(DATA) >= {"cifar10", "image_folder", "shapes", "shapes_magnitude", "polygon", "ct_lesions"} | {
        "arrays",
        "torchvision",
    }


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("level", PREPROCESSING)
def test_preprocessing_level_fits_and_applies(settings: Any, level: str, bits: int) -> None:
    chain = make(settings(f"preprocessing={level}", f"data.bits={bits}").preprocessing)
    assert isinstance(chain, Chain)
    assert chain.fit_on == "train"
    generator = torch.Generator().manual_seed(0)
    dtype = torch.uint8 if bits == 8 else torch.int32
    images = torch.randint(0, 2**bits, (60, 4, 4, 3), generator=generator, dtype=dtype).permute(0, 3, 1, 2)
    result = chain.fit(images)(images)
    assert result.dtype == torch.float32
    assert result.isfinite().all()
    assert tuple(result.shape[1:]) == chain.output_shape((3, 4, 4))


@pytest.mark.parametrize("level", [level for level in PREPROCESSING if level != "patch_whiten"])
def test_preprocessing_level_works_on_points(settings: Any, level: str) -> None:
    """Of one pixel and two channels, but for the patches, which must be one pixel too."""
    config = settings("data=polygon", f"preprocessing={level}")
    images = make(config.data).load().train.images
    chain = make(config.preprocessing)
    result = chain.fit(images)(images)
    assert result.isfinite().all()
    assert tuple(result.shape[1:]) == chain.output_shape((2, 1, 1)) == (2, 1, 1)


def test_patches_of_points_are_points(settings: Any) -> None:
    config = settings("data=polygon", "preprocessing=patch_whiten", "preprocessing.steps.patch_whiten.kernel_size=1")
    images = make(config.data).load().train.images
    chain = make(config.preprocessing)
    assert tuple(chain.fit(images)(images).shape[1:]) == chain.output_shape((2, 1, 1)) == (4, 1, 1)


def test_levels_differ_in_what_they_say(settings: Any) -> None:
    """`scale` and the centring levels have one scale; center_* take away one thing each."""
    images = torch.randint(0, 256, (40, 4, 4, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images = images.permute(0, 3, 1, 2)
    result = {
        level: make(settings(f"preprocessing={level}").preprocessing).fit(images)(images).double()
        for level in ("scale", "center_channel", "center_mean_image")
    }
    scaled = result["scale"]
    channel = scaled - scaled.mean((0, 2, 3), keepdim=True)
    torch.testing.assert_close(result["center_channel"], channel, atol=1e-6, rtol=0)
    torch.testing.assert_close(result["center_mean_image"], scaled - scaled.mean(0), atol=1e-6, rtol=0)


def test_window_is_the_data_sets_or_the_whole_range(settings: Any) -> None:
    window = settings("preprocessing=window", "data.bits=16").preprocessing.steps.window
    assert (window.center, window.width, window.bits) == (0.3, 0.0625, 16)
    window = settings("preprocessing=window", "data=cifar10").preprocessing.steps.window
    assert (window.center, window.width, window.bits) == (0.5, 1.0, 8)


def test_chains_are_composed_in_order_and_overridden(settings: Any) -> None:
    chain = make(settings("preprocessing=window_quantize_standardize").preprocessing)
    assert list(chain.steps) == ["window", "quantize", "standardize"]
    config = settings("preprocessing=whiten", "preprocessing.steps.whiten.eps=0.1", "preprocessing.fit=test")
    assert make(config.preprocessing).steps["whiten"].eps == 0.1
    assert make(config.preprocessing).fit_on == "test"
    step = "{_target_: ablate.data.preprocessing.Quantize, bits_kept: 3}"
    chain = make(settings("preprocessing=scale", f"+preprocessing.steps.quantize={step}").preprocessing)
    assert list(chain.steps) == ["scale", "quantize"]


@pytest.mark.parametrize("level", AUGMENTATION)
def test_augmentation_level_is_called(settings: Any, level: str) -> None:
    augment = make(settings(f"augmentation={level}").augmentation)
    assert isinstance(augment, Augmentation)
    images = torch.randint(0, 256, (9, 32, 32, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images = images.permute(0, 3, 1, 2)
    result = augment(images, torch.Generator().manual_seed(0))
    assert (result.shape, result.dtype) == (images.shape, images.dtype)
    assert torch.equal(result, images) == (level == "none")


@pytest.mark.parametrize("level", DATA)
def test_data_level_is_made_and_has_a_fingerprint(settings: Any, level: str, tmp_path: Path) -> None:
    of_files = {"image_folder": "data.root=/nowhere", "arrays": "data.path=x.npz", "torchvision": "data.name=MNIST"}
    data = make(settings(f"data={level}", *([of_files[level]] if level in of_files else [])).data)
    assert {"train_size", "val_size", "test_size", "split_seed", "bits"} <= set(vars(data))
    assert hasattr(data, "cache_dir") == (level != "polygon")  # made in no time
    if level not in of_files:  # whose fingerprint is of the files
        assert len(data.fingerprint()) == 64


def test_cifar10_root_comes_from_the_environment(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ABLATE_DATA", raising=False)
    assert settings("data=cifar10").data.root == "data"
    monkeypatch.setenv("ABLATE_DATA", "/some/where")
    assert settings("data=cifar10").data.root == "/some/where"
