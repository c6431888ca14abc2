import pytest

from ablate.cli.options import check_options, value_follows
from ablate.errors import UserError


def test_options_and_their_values_are_taken_out():
    assert check_options(["--cfg", "job", "a=1", "-p", "net"]) == ["a=1"]
    assert check_options(["--info", "b=2"]) == ["b=2"]
    assert not value_follows("--info", "b=2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cfgg", "job"], "no option '--cfgg'; did you mean --cfg"),
        (["--lr", "0.1"], "settings have no dash: did you mean optimizer.lr=0.1"),
        (["--cfg", "a"], "needs one of job, hydra, all, got 'a'"),
        (["-p"], "-p needs a value"),
        (["-m", "--cfg", "job"], "exclude each other"),
    ],
)
def test_mistaken_options_are_refused(words, message):
    with pytest.raises(UserError, match=message):
        check_options(words)
