import pytest
import typer
from onward_cli.engine import _url


@pytest.mark.parametrize(
    ("text", "address"),
    [("", ""), ("https://engine.example.com/", "https://engine.example.com"), ("http://a/b", "http://a/b")],
)
def test_a_public_address_is_taken_without_the_slash_at_its_end(text: str, address: str) -> None:
    assert _url(text) == address


@pytest.mark.parametrize("text", ["engine.example.com", "ftp://engine", "https://user@engine", "http://"])
def test_a_wrong_public_address_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="address"):
        _url(text)
