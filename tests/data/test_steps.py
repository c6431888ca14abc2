"""Steps of preprocessing of the user's own: modules and functions, their shapes, and what is refused."""

from functools import partial

import pytest
import torch
from torch import nn

from ablate.data.preprocessing import Chain, Scale, Standardize, as_preprocessing
from ablate.data.steps import as_step
from ablate.errors import UserError

IMAGES = torch.randint(0, 256, (10, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


class Root(nn.Module):
    def forward(self, images):
        return (images / 255).sqrt()


class Mean(nn.Module):
    """Learns a mean, and says nothing of shapes."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean_", None)

    def fit(self, images):
        self.mean_ = images.float().mean()

    def forward(self, images):
        return images - self.mean_


class Half(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        return images[:, :1, ::2, ::2]


class Late(nn.Module):
    def fit(self, images, labels):
        return self

    def forward(self, images):
        return images


class Two(nn.Module):
    def forward(self, images, labels):
        return images


class Scaler:
    def fit(self, images):
        return self

    def transform(self, images):
        return images


class Called(Scaler):
    def __call__(self, images):
        return images


@pytest.mark.parametrize("piece", [Root(), lambda images: (images / 255).sqrt(), partial(torch.pow, exponent=1)])
def test_a_module_or_a_function_alone_is_a_preprocessing(piece):
    preprocessing = as_preprocessing(piece)
    preprocessing.fit(IMAGES)
    assert preprocessing.output_shape((3, 8, 8)) == (3, 8, 8)
    assert torch.equal(preprocessing(IMAGES), piece(IMAGES.float()))


def test_a_module_that_learns_is_fitted_on_the_output_of_the_steps_before_it():
    chain = Chain({"root": lambda images: (images / 255).sqrt(), "mean": Mean(), "halved": Half(), "last": Mean()})
    chain.fit(IMAGES)
    expected = (IMAGES / 255).sqrt()
    assert torch.allclose(chain.steps["mean"].mean_, expected.mean())
    assert chain.output_shape((3, 8, 8)) == (1, 4, 4) == tuple(chain(IMAGES).shape[1:])
    assert chain.steps["halved"].calls == 2  # to fit the step after it, and above; shapes are tried on a copy
    assert torch.allclose(chain(IMAGES).mean(), torch.tensor(0.0), atol=1e-5)


def test_a_complete_piece_and_the_package_s_own_are_left_as_they_are():
    chain = Chain({"scale": Scale(bits=8)})
    assert as_preprocessing(chain) is chain
    assert list(as_preprocessing(Standardize()).steps) == ["own"]


def test_a_run_trains_with_it(make_run):
    run = make_run(preprocessing=as_preprocessing(Half()))
    data = run.data.load()
    net = run.build(data)
    assert net(data.test.images).shape == (24, 3)
    assert net.conv1_1.in_channels == 1


@pytest.mark.parametrize(
    ("piece", "words"),
    [
        (Root, "must be a module, got the class .*Root; leave out `_partial_: true`"),
        (partial(Root), "must be a module, got the class .*Root; leave out"),
        (nn.Module(), "has no method `forward`; add `def forward"),
        (Two(), r"`forward` of .*Two must take the images alone, got \(images, labels\); write `def forward"),
        (Late(), r"`fit` of .*Late must take the images alone, got \(images, labels\); write `def fit\(self, images\)"),
        (Scaler(), r"a torch.nn.Module or a function of images, got .*Scaler; write `class Scaler\(torch.nn.Module\)`"),
        (Called(), "has a `fit` and must be a torch.nn.Module, got .*Called"),
        (
            lambda images, power: images,
            r"alone, got .*<lambda>\(images, power\); give its other arguments",
        ),
        (None, "got None; write"),
    ],
)
def test_what_is_neither_is_refused(piece, words):
    with pytest.raises(UserError, match=words):
        as_step("preprocessing", piece)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda images: images.double(), "got torch.float64; end it with `return images.float"),
        (lambda images: images.to(torch.uint8), "got torch.uint8; end it with"),
        (lambda images: None, "got None; end it with a `return`"),
        (lambda images: images[:1], r"got shape \(1, 3, 8, 8\) for \(10, 3, 8, 8\); keep the first axis"),
        (lambda images: images.flatten(1), r"got shape \(10, 192\)"),
        (lambda images: images.to("meta"), "cpu, got meta; keep its tensors in buffers"),
    ],
)
def test_a_result_that_is_no_image_is_refused(function, words):
    with pytest.raises(UserError, match=words):
        as_preprocessing(function)(IMAGES)


@pytest.mark.parametrize("name", ["half", "float", "forward", "training"])
def test_a_name_that_a_module_uses_is_refused(name):
    with pytest.raises(UserError, match=f"names that no attribute of a module has, got '{name}'; choose another"):
        Chain({name: Root()})
