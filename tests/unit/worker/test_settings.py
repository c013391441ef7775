from pathlib import Path
from typing import Any

import pytest
from onward import Client, ConfigError
from onward.settings import Settings


def test_without_anything_the_engine_on_this_machine_is_meant() -> None:
    settings = Settings.read({})
    assert (settings.url, settings.token()) == ("http://127.0.0.1:8484", "")


def test_arguments_go_before_the_environment() -> None:
    environ = {"ONWARD_URL": "https://env/", "ONWARD_TOKEN": "env"}
    assert Settings.read(environ).url == "https://env"
    settings = Settings.read(environ, url="http://here:1", token="own")
    assert (settings.url, settings.token()) == ("http://here:1", "own")


def test_a_token_file_is_read_at_each_use(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    settings = Settings.read({"ONWARD_TOKEN_FILE": str(file)})
    assert settings.token() == "first"
    file.write_text("second\n")
    assert settings.token() == "second"


def test_a_token_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing' cannot be read"):
        Settings.read({"ONWARD_TOKEN_FILE": str(tmp_path / "missing")}).token()


def test_a_token_file_without_a_token_is_named(tmp_path: Path) -> None:
    """It may be in the middle of being written: asking without a token would be refused for good."""
    file = tmp_path / "token"
    file.write_text("\n")
    with pytest.raises(ConfigError, match=r"token' is empty"):
        Settings.read({"ONWARD_TOKEN_FILE": str(file)}).token()


def test_the_token_is_never_shown() -> None:
    assert "secret" not in repr(Settings.read({"ONWARD_TOKEN": "secret"}))


def test_a_traceback_with_variables_shows_neither_the_token_nor_a_proxy_s_password() -> None:
    rich = pytest.importorskip("rich.pretty")
    proxy = "http://me:secret@proxy.test:3128"
    settings = Settings.read({"ONWARD_TOKEN": "secret", "ONWARD_PROXY": proxy, "HTTPS_PROXY": proxy})
    assert "secret" not in rich.pretty_repr([settings, settings.way, settings.way.choice("https://engine").proxy])


@pytest.mark.parametrize("given", [{"url": 5}, {"token": b"secret"}])
def test_an_option_of_another_kind_is_named_and_not_repeated(given: dict[str, Any]) -> None:
    [option] = given
    with pytest.raises(ConfigError, match=f"option '{option}'") as refusal:
        Client(**given)
    assert "secret" not in str(refusal.value)


def test_an_address_that_is_no_url_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not begin with http"):
        Settings.read({"ONWARD_URL": "localhost:8484"})


@pytest.mark.parametrize(
    "url",
    [
        "http://host:port",
        "http://host:99999",
        "http://[::1:8484",
        "http://",
        "http://host:0",
        "https://a b",
        "https://a\x0bb",
        "https://a/b c",
        "https://a?b",
        "https://a#b",
    ],
)
def test_an_address_that_cannot_be_dialled_is_refused_where_it_is_read(url: str) -> None:
    with pytest.raises(ConfigError, match=r"the engine's address"):
        Settings.read({"ONWARD_URL": url})


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as refusal:
        Settings.read({"ONWARD_URL": "http://me:secret@host:port"})
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("token", ["two\nlines", "two words", "tokén", "x" * 5_000])
def test_a_token_that_no_header_can_carry_is_refused_and_not_repeated(tmp_path: Path, token: str) -> None:
    file = tmp_path / "token"
    file.write_text(token)
    for environ in ({"ONWARD_TOKEN": token}, {"ONWARD_TOKEN_FILE": str(file)}):
        with pytest.raises(ConfigError, match="cannot be a token") as refusal:
            Settings.read(environ).token()
        assert token not in str(refusal.value)
