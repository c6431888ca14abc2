import jinja2
import pytest

from ablate.report.rendering import breakable, render


def test_a_key_may_break_after_each_slash_and_is_escaped():
    assert breakable("a/<b>/c") == "a/<wbr>&lt;b&gt;/<wbr>c"


def test_a_variable_that_is_not_given_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        render("overview.html", parts=[])
