import torch

from ablate.seeding import Streams


def test_key_is_a_fixed_function_of_seed_stream_and_place():
    assert Streams(0).key("init", "conv1_1") == Streams(0).key("init", "conv1_1")
    # Another derivation would change every run unseen: it needs a new identity.NUMERICS_VERSION.
    assert Streams(0).key("order", 3) == 0x32B0D7B0552A24C


def test_keys_of_different_names_differ():
    names = [("order", 0), ("order", 1), ("augmentation", 0), ("noise", "dropout1", 0), ("noise", "dropout", 10)]
    keys = {Streams(seed).key(stream, *place) for seed in (0, 1, 10) for stream, *place in names}
    assert len(keys) == 15
    assert all(0 <= key < 2**63 for key in keys)


def test_generators_are_independent_of_how_much_others_drew():
    first = torch.randn(5, generator=Streams(7).generator("init", "fc1"))
    torch.randn(1000, generator=Streams(7).generator("init", "conv1_1"))
    assert torch.equal(first, torch.randn(5, generator=Streams(7).generator("init", "fc1")))
    assert not torch.equal(first, torch.randn(5, generator=Streams(8).generator("init", "fc1")))
