"""Settings of a folder: what counts, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from onward_cli import config
from onward_cli.config import SETTINGS, variable_of
from onward_cli.configuring import hidden, shown
from onward_cli.errors import CommandError
from onward_cli.tree import options

READ_BY_THE_SDK = {"ONWARD_COMPRESSION"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(folder: Path, text: str, name: str = "onward.toml") -> str:
    folder.joinpath(name).write_text(text)
    with pytest.raises(CommandError) as refused:
        config.read(str(folder))
    assert refused.value.code == "E0514"
    return f"{refused.value.what}; {refused.value.advice}"


def test_a_file_may_set_all_that_the_environment_may() -> None:
    assert {variable_of(name) for name in SETTINGS} == {*options(), *READ_BY_THE_SDK}


def test_the_environment_goes_before_the_file(folder: Path) -> None:
    folder.joinpath("onward.toml").write_text('concurrency = 5\ndrain-timeout = "9s"\nurl = "http://a"')
    environ = {"ONWARD_CONCURRENCY": "7", "ONWARD_URL": ""}
    config.apply(environ)
    assert environ == {"ONWARD_CONCURRENCY": "7", "ONWARD_URL": "", "ONWARD_DRAIN_TIMEOUT": "9s"}


def test_a_file_may_begin_with_the_mark_that_editors_of_windows_write(folder: Path) -> None:
    folder.joinpath("onward.toml").write_text("port = 2", encoding="utf-8-sig")
    assert config.read() == ("onward.toml", {"ONWARD_PORT": "2"})


def test_settings_may_stand_in_the_project_s_own_file(folder: Path) -> None:
    folder.joinpath("pyproject.toml").write_text(
        "[tool.onward]\nconcurrency = 5\ninsecure = true\nlabel = ['a=1', 'b=2']"
    )
    found = config.read()
    assert found is not None
    assert found.values == {"ONWARD_CONCURRENCY": "5", "ONWARD_INSECURE": "true", "ONWARD_LABEL": "a=1 b=2"}


def test_a_project_without_settings_has_none_even_if_it_cannot_be_read(folder: Path) -> None:
    folder.joinpath("pyproject.toml").write_text("[tool.other")
    assert config.read() is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("concurency = 5", "no setting 'concurency'; did you mean 'concurrency'?"),
        ("colour = 5", "no setting 'colour'; list those that there are: worker config show"),
        ("token = 'onw_secret'", "a token is a secret"),
        ("concurrency = {a = 1}", "'concurrency' has a value that no setting has"),
        ("label = ['a b']", "'label' has a value that no setting has"),
        ("concurrency =", "it is not TOML"),
        ("[run]\nconcurrency = 1", "no setting 'run'"),
        ('url = "a\\u0000b"', "'url' has a value that no setting has"),
    ],
)
def test_what_cannot_be_a_setting_is_refused_with_its_name(folder: Path, text: str, said: str) -> None:
    refused = refusal(folder, text)
    assert said in refused
    assert "onw_secret" not in refused


def test_two_files_with_settings_are_one_too_many(folder: Path) -> None:
    folder.joinpath("pyproject.toml").write_text("[tool.onward]\nport = 1")
    assert "keep one of the two" in refusal(folder, "port = 2")


def test_where_a_value_comes_from_is_known(folder: Path) -> None:
    folder.joinpath("onward.toml").write_text("port = 2\nhost = '::1'")
    environ = {"ONWARD_PORT": "3"}
    config.apply(environ)
    assert config.origin_of("ONWARD_PORT", environ) == "ONWARD_PORT"
    assert config.origin_of("ONWARD_HOST", environ) == "onward.toml"


@pytest.mark.parametrize(
    ("value", "public"),
    [
        ("postgresql://me:s3:cr@et@db/shop", "postgresql://me:***@db/shop"),
        ("postgresql://me:s3/cr@db/shop", "postgresql://me:***@db/shop"),
        ("postgresql://db/shop?user=me&password=s3cret&ssl=on", "postgresql://db/shop?user=me&password=***&ssl=on"),
        ("http://user:s3cret@proxy:3128", "http://user:***@proxy:3128"),
        ("http://127.0.0.1:8484", "http://127.0.0.1:8484"),
        ("postgresql://db.example.com:5432/shop", "postgresql://db.example.com:5432/shop"),
    ],
)
def test_a_password_in_an_address_is_not_shown(value: str, public: str) -> None:
    assert hidden(value) == public


@pytest.mark.parametrize(
    ("value", "public"),
    [
        ("direct", "direct"),
        ("proxy.test:3128", "proxy.test:3128"),
        ("me:secret@proxy.test:3128", "http://me:***@proxy.test:3128"),
        ("socks5h://me:secret@proxy.test", "socks5h://me:***@proxy.test:1080"),
        ("http://me:secret", "***"),
        ("http://me:sec/ret@proxy.test", "***"),
    ],
)
def test_a_proxy_is_shown_without_its_password_however_it_is_written(value: str, public: str) -> None:
    assert shown("proxy", value) == public
