"""Which proxy is taken, and what decides it."""

from __future__ import annotations

import pytest
from onward.dialing.proxies import Proxy, parse_proxy
from onward.dialing.way import Choice, Way, proxy_variables, target_of
from onward.errors import ConfigError
from onward.settings import Settings

SECURE, PLAIN = "https://engine.example", "http://engine.example:8484"


def way(**variables: str) -> Way:
    return Way(variables=proxy_variables(variables))


def proxy_of(way: Way, url: str = SECURE) -> str:
    return str(way.choice(url).proxy)


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy.test:3128", Proxy("http", "proxy.test", 3128)),
        ("proxy.test:3128", Proxy("http", "proxy.test", 3128)),
        ("http://proxy.test/", Proxy("http", "proxy.test", 80)),
        ("https://proxy.test", Proxy("https", "proxy.test", 443)),
        ("socks5h://proxy.test", Proxy("socks5h", "proxy.test", 1080)),
        ("socks5://10.0.0.1:9050", Proxy("socks5h", "10.0.0.1", 9050)),
        ("HTTP://[fd00::1]:3128", Proxy("http", "fd00::1", 3128)),
        ("http://me:p%40ss%3Aword@proxy.test:1", Proxy("http", "proxy.test", 1, "me", "p@ss:word")),
        ("me:secret@proxy.test:1", Proxy("http", "proxy.test", 1, "me", "secret")),
    ],
)
def test_a_proxy_is_written_in_the_usual_ways(text: str, proxy: Proxy) -> None:
    assert parse_proxy(text, "--proxy") == proxy


@pytest.mark.parametrize(
    "text",
    [
        "ftp://me:secret@proxy.test",
        "socks4://me:secret@proxy.test:1080",
        "http://me:secret@",
        "http://me:secret@proxy.test:port",
        "http://me:secret@proxy.test:0",
        "http://me:secret@[fd00::1",
        "http://me:secret@proxy.test/path",
        f"socks5h://me:secret{'x' * 250}@proxy.test",
        "http://m%3Ae:secret@proxy.test",
        "http://me:secret%40proxy.test:3128",
        "me:secret",
        "http://me:secret@proxy .test",
        "http://me:secret@proxy\x0b.test",
    ],
)
def test_what_is_no_proxy_is_named_without_its_password(text: str) -> None:
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as caught:
        way(HTTPS_PROXY=text).choice(SECURE)
    assert "secret" not in str(caught.value)
    assert caught.value.code == "E0406"


def test_a_proxy_is_shown_without_its_password() -> None:
    named = parse_proxy("http://me:secret@proxy.test:3128", "--proxy")
    assert str(named) == repr(named) == "http://me:***@proxy.test:3128"
    settings = Settings.read({}, proxy="http://me:secret@proxy.test:3128")
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://engine.test", "engine.test"),
        ("https://engine.test:443/below", "engine.test"),
        ("http://engine.test:443", "engine.test:443"),
        ("http://[fd00::1]:80", "[fd00::1]"),
        ("http://[fd00::80]:8484", "[fd00::80]:8484"),
        ("https://Bücher.test:8484", "xn--bcher-kva.test:8484"),
    ],
)
def test_an_engine_hears_the_name_by_which_it_was_asked(url: str, name: str) -> None:
    assert target_of(url).name == name


def test_https_goes_through_its_own_proxy_or_through_one_for_all() -> None:
    assert proxy_of(way(HTTPS_PROXY="a:1", ALL_PROXY="b:1", HTTP_PROXY="c:1")) == "http://a:1"
    assert proxy_of(way(ALL_PROXY="b:1", HTTP_PROXY="c:1")) == "http://b:1"
    assert way(HTTP_PROXY="c:1").choice(SECURE) == Choice(None, "no proxy is set")


def test_plain_http_takes_a_proxy_for_https_as_well() -> None:
    assert proxy_of(way(HTTP_PROXY="a:1", HTTPS_PROXY="b:1"), PLAIN) == "http://a:1"
    assert proxy_of(way(HTTPS_PROXY="b:1", ALL_PROXY="c:1"), PLAIN) == "http://b:1"


def test_small_letters_go_first_and_what_is_empty_is_not_set() -> None:
    assert way(HTTPS_PROXY="a:1", https_proxy="b:1").choice(SECURE).reason == "https_proxy"
    assert way(HTTPS_PROXY="a:1", https_proxy="").choice(SECURE).reason == "HTTPS_PROXY"


def test_no_proxy_names_the_entry_that_decides() -> None:
    found = way(HTTPS_PROXY="a:1", NO_PROXY="localhost,.svc,.example").choice(SECURE)
    assert found == Choice(None, "NO_PROXY entry .example")


@pytest.mark.parametrize("url", ["http://localhost:8484", "https://127.0.0.1", "http://[::1]:8484"])
def test_this_machine_is_reached_without_what_the_environment_says(url: str) -> None:
    assert way(ALL_PROXY="a:1").choice(url) == Choice(None, "this machine")


def test_a_proxy_of_our_own_is_for_everything() -> None:
    own = Way(proxy="socks5h://own.test", variables={"HTTPS_PROXY": "a:1", "NO_PROXY": "*"})
    assert {proxy_of(own, url) for url in (SECURE, "http://127.0.0.1:1")} == {"socks5h://own.test:1080"}


def test_the_environment_can_be_put_aside() -> None:
    assert Way(proxy="direct", variables={"HTTPS_PROXY": "a:1"}).choice(SECURE) == Choice(None, "--proxy")


def test_a_header_of_a_web_server_is_no_setting() -> None:
    """A CGI script has the headers of its request in its environment: `Proxy: evil` as HTTP_PROXY."""
    assert way(HTTP_PROXY="evil:1", REQUEST_METHOD="GET").choice(PLAIN).proxy is None


def test_a_way_that_is_settled_leads_to_the_same_proxy_without_the_environment() -> None:
    found = way(HTTPS_PROXY="http://me:secret@a:1", NO_PROXY="x" * 10_000).settled(SECURE)
    assert (found.variables, found.choice(SECURE).proxy) == ({}, Proxy("http", "a", 1, "me", "secret"))
    assert way(HTTPS_PROXY="a:1", NO_PROXY=".example").settled(SECURE).proxy == "direct"


def test_settings_come_from_arguments_and_then_from_the_environment() -> None:
    environ = {"ONWARD_PROXY": "a:1", "ONWARD_CA_FILE": "env.pem", "ONWARD_CLIENT_CERT": "c.pem"}
    way = Settings.read(environ, ca_file="own.pem", client_key="c.key").way
    assert (way.proxy, way.ca_file, way.client_cert, way.client_key) == ("a:1", "own.pem", "c.pem", "c.key")


@pytest.mark.parametrize(
    ("environ", "code"), [({"ONWARD_PROXY": "ftp://a"}, "E0406"), ({"ONWARD_CLIENT_KEY": "c.key"}, "E0407")]
)
def test_what_is_wrong_with_a_way_is_told_before_anything_is_dialled(environ: dict[str, str], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.read(environ)
    assert caught.value.code == code
