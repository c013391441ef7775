from pathlib import Path

import pytest
from onward import ConfigError
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


def test_the_token_is_never_shown() -> None:
    assert "secret" not in repr(Settings.read({"ONWARD_TOKEN": "secret"}))


def test_an_address_that_is_no_url_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not begin with http"):
        Settings.read({"ONWARD_URL": "localhost:8484"})
