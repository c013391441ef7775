"""Where the doctor says that settings come from."""

from __future__ import annotations

import pytest
from onward_cli.doctor.sources import sources_of


def said(options: dict[str, str | None], environ: dict[str, str]) -> dict[str, tuple[str, str]]:
    return {one.name: (one.value, one.origin) for one in sources_of(options, environ)}


def test_without_any_setting_the_engine_is_on_this_machine() -> None:
    assert said({}, {}) == {"url": ("http://127.0.0.1:8484", "default")}


def test_an_option_goes_before_its_variable() -> None:
    environ = {"ONWARD_URL": "https://a.test", "ONWARD_CA_FILE": "/ca.pem"}
    assert said({"url": "https://b.test"}, environ) == {
        "url": ("https://b.test", "--url"),
        "ca_file": ("/ca.pem", "ONWARD_CA_FILE"),
    }


@pytest.mark.parametrize(
    ("options", "environ", "counts"),
    [
        ({}, {"ONWARD_TOKEN": "onw_x", "ONWARD_TOKEN_FILE": "/token"}, ("token", ("***", "ONWARD_TOKEN"))),
        ({}, {"ONWARD_TOKEN_FILE": "/token"}, ("token_file", ("/token", "ONWARD_TOKEN_FILE"))),
        ({"token_file": "/mine"}, {"ONWARD_TOKEN": "onw_x"}, ("token_file", ("/mine", "--token-file"))),
    ],
)
def test_the_token_that_counts_is_named_and_not_shown(
    options: dict[str, str | None], environ: dict[str, str], counts: tuple[str, tuple[str, str]]
) -> None:
    assert counts in said(options, environ).items()
    assert len(said(options, environ)) == 2


def test_a_proxys_password_is_not_shown() -> None:
    found = said({}, {"ONWARD_PROXY": "http://user:secret@proxy.test:3128"})
    assert found["proxy"] == ("http://user:***@proxy.test:3128", "ONWARD_PROXY")
