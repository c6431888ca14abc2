"""Augmentations of the user's own and of torchvision: reproducible from seed and step, or refused."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms import v2

from ablate.data.own_augmentation import OwnAugmentation, as_augmentation, form_of
from ablate.errors import UserError
from ablate.seeding import Streams

IMAGES = torch.randint(0, 256, (6, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def generator(step=0):
    return Streams(0).generator("augmentation", step)


def noisy(images):
    drawn = random.random() + np.random.random() + torch.rand(()).item()  # noqa: NPY002
    return images + int(40 * drawn)


def with_generator(images, generator):
    return images + torch.randint(40, (len(images), 1, 1, 1), generator=generator).to(images.dtype)


class Flip(nn.Module):
    def forward(self, images):
        return images.flip(3)


@pytest.mark.parametrize("function", [noisy, with_generator, v2.RandomResizedCrop(8), v2.TrivialAugmentWide()])
def test_the_result_depends_on_seed_and_step_alone(function):
    augment = as_augmentation(function)
    torch.manual_seed(1)
    first = augment(IMAGES.clone(), generator(0))
    torch.rand(7)
    random.random()
    assert torch.equal(augment(IMAGES.clone(), generator(0)), first)
    assert not torch.equal(augment(IMAGES.clone(), generator(1)), first)
    assert first.shape == IMAGES.shape and first.dtype == torch.uint8


@pytest.mark.parametrize("function", [noisy, v2.RandomHorizontalFlip(0.5)])
def test_what_it_draws_changes_no_other_draw_of_the_step(function):
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    expected = torch.rand(3), np.random.rand()  # noqa: NPY002
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    as_augmentation(function)(IMAGES.clone(), generator())
    assert torch.equal(torch.rand(3), expected[0]) and np.random.rand() == expected[1]  # noqa: NPY002


def test_a_transform_of_torchvision_draws_for_every_image():
    augment = as_augmentation(v2.RandomHorizontalFlip(0.5))
    images = IMAGES[:1].repeat(64, 1, 1, 1)
    flipped = (augment(images, generator()) != images).flatten(1).any(1)
    assert 16 < flipped.sum() < 48
    whole = as_augmentation(v2.Compose([v2.RandomHorizontalFlip(1.0), v2.RandomVerticalFlip(1.0)]))
    assert torch.equal(whole(IMAGES, generator()), IMAGES.flip(2, 3))


def test_the_generator_of_a_function_is_the_runs():
    expected = with_generator(IMAGES, generator(2))
    assert torch.equal(as_augmentation(with_generator)(IMAGES, generator(2)), expected)


@pytest.mark.parametrize(
    ("function", "form"),
    [
        (lambda images: images, "images"),
        (lambda images, generator: images, "generator"),
        (lambda images, g: images, "generator"),
        (lambda images, strength=0.5: images, "images"),
        (lambda images, generator=None: images, "generator"),
        (lambda images, *, generator: images, "keyword"),
        (lambda *arguments: arguments[0], "generator"),
        (partial(lambda images, strength: images, strength=0.5), "images"),
        (partial(lambda images, generator, strength: images, strength=0.5), "generator"),
        (Flip(), "images"),
        (v2.Compose([v2.Identity()]), "image"),
    ],
)
def test_how_a_function_is_called_follows_from_its_signature(function, form):
    assert form_of(function) == form
    assert as_augmentation(function)(IMAGES, generator()).shape == IMAGES.shape


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (3, "must be a function of images, got int 3; write it as `def mine"),
        (Flip, "got the class .*Flip; leave out `_partial_: true`"),
        (partial(Flip), "got the class .*Flip; leave out"),
        (
            lambda images, generator, strength: images,
            r"got .*\(images, generator, strength\); write it as .*give",
        ),
        (lambda: None, "or of images and a generator, got"),
        (v2.MixUp(num_classes=3), "got torchvision's MixUp, which mixes both"),
        (v2.Compose([v2.RandomChoice([v2.CutMix(num_classes=3)])]), "got torchvision's CutMix"),
    ],
)
def test_what_cannot_be_called_is_refused(function, words):
    with pytest.raises(UserError, match=words):
        as_augmentation(function)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (
            lambda images: images.float(),
            r"float32 for torch.uint8; end it with `return images.to\(torch.uint8\)`",
        ),
        (lambda images: images[:, :, 1:], r"got shape \(2, 3, 7, 8\) for \(2, 3, 8, 8\); resize"),
        (lambda images: images.to("meta"), "got device meta for cpu; make its tensors on"),
        (lambda images: None, "got None; end it with `return images`"),
        (lambda images, generator: images[0], r"got shape \(3, 8, 8\)"),
        (v2.ToDtype(torch.float32, scale=True), "got dtype torch.float32"),
        (v2.RandomCrop(4), r"got shape \(3, 4, 4\) for \(3, 8, 8\)"),
        (v2.Normalize([0.5], [0.5]), "refuses an image of shape .3, 8, 8. and type torch.uint8.*preprocessing"),
    ],
)
def test_a_result_unlike_the_images_is_refused_when_the_net_is_built(function, words, make_run):
    with pytest.raises(UserError, match=words):
        as_augmentation(function).try_on(IMAGES)
    run = make_run(augmentation=OwnAugmentation(function))
    with pytest.raises(UserError, match="`augmentation`"):
        run.build(run.data.load())


def test_trying_it_changes_neither_images_nor_generators():
    def in_place(images):
        return images.add_(torch.randint(5, ()).to(torch.uint8))

    before, state = IMAGES.clone(), torch.get_rng_state()
    as_augmentation(in_place).try_on(IMAGES)
    assert torch.equal(IMAGES, before) and torch.equal(torch.get_rng_state(), state)
