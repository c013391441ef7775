"""Encryption: what it gives away, what it refuses, and how keys change."""

from __future__ import annotations

from base64 import b64encode

import msgspec
import pytest
from onward import App, ConfigError, Context
from onward.errors import failure_of, from_failure
from onward.middleware import CannotDecrypt, Encryption, PayloadInfo

OLD, NEW = b"o" * 32, b"n" * 32
STEP = PayloadInfo("step", "shop/work", "run_1", "charge@0#0")
PAYLOAD = msgspec.msgpack.encode({"card": "4242 4242"})


async def sealed(*, key: bytes = OLD, info: PayloadInfo = STEP) -> bytes:
    return await Encryption({"2025": key}).encode(PAYLOAD, info)


async def test_the_holder_of_the_key_reads_it_and_nobody_else() -> None:
    payload = await sealed()
    assert b"4242" not in payload
    assert await Encryption({"2025": OLD}).decode(payload, STEP) == PAYLOAD


async def test_what_is_stored_is_messagepack_that_says_what_it_is() -> None:
    assert list(msgspec.msgpack.decode(await sealed())) == ["$encrypted"]


async def test_it_is_read_from_json_too() -> None:
    """The API shows the data of failures as JSON, with bytes as base64."""
    shown = msgspec.json.decode(msgspec.json.encode(msgspec.msgpack.decode(await sealed())))
    assert await Encryption({"2025": OLD}).decode(msgspec.msgpack.encode(shown), STEP) == PAYLOAD


async def test_the_same_value_looks_different_each_time() -> None:
    assert await sealed() != await sealed()


async def test_a_missing_key_is_named_and_not_asked_for_again() -> None:
    with pytest.raises(CannotDecrypt) as caught:
        await Encryption({"2026": NEW}).decode(await sealed(), STEP)
    message = str(caught.value)
    assert message.startswith(
        "the result of step 'charge@0#0' of run run_1 was encrypted with the key '2025'; here are only '2026'."
    )
    assert not caught.value.retryable


async def test_another_key_of_the_same_name_is_said_so() -> None:
    with pytest.raises(CannotDecrypt, match=r"cannot be decrypted with the key '2025': that is another key"):
        await Encryption({"2025": NEW}).decode(await sealed(), STEP)


@pytest.mark.parametrize(
    "elsewhere",
    [
        PayloadInfo("step", "shop/work", "run_2", "charge@0#0"),
        PayloadInfo("step", "shop/work", "run_1", "charge@0#1"),
        PayloadInfo("output", "shop/work", "run_1"),
    ],
    ids=["another run", "another step", "another kind"],
)
async def test_what_was_moved_elsewhere_is_not_read(elsewhere: PayloadInfo) -> None:
    with pytest.raises(CannotDecrypt, match="changed or belongs elsewhere"):
        await Encryption({"2025": OLD}).decode(await sealed(), elsewhere)


async def test_a_byte_that_was_changed_is_noticed() -> None:
    payload = bytearray(await sealed())
    payload[-1] ^= 1
    with pytest.raises(CannotDecrypt):
        await Encryption({"2025": OLD}).decode(bytes(payload), STEP)


@pytest.mark.parametrize("body", [b"", b"\x01", b"\x02" + bytes(40), b"\x01\xff" + bytes(40), "no base64", 3])
async def test_what_is_no_encrypted_payload_is_refused_in_words(body: object) -> None:
    with pytest.raises(CannotDecrypt, match="the result of step"):
        await Encryption({"2025": OLD}).decode(msgspec.msgpack.encode({"$encrypted": body}), STEP)


async def test_a_fork_reads_what_its_origins_have_recorded() -> None:
    fork = PayloadInfo("step", "shop/work", "run_3", "charge@0#0", ("run_2", "run_1"))
    assert await Encryption({"2025": OLD}).decode(await sealed(), fork) == PAYLOAD


async def test_what_was_never_encrypted_comes_back_as_it_is() -> None:
    assert await Encryption({"2025": OLD}).decode(PAYLOAD, STEP) == PAYLOAD


async def test_a_key_changes_in_three_deployments_and_every_pair_of_neighbours_reads_each_other() -> None:
    deployments = [
        Encryption({"a": OLD}),
        Encryption({"a": OLD, "b": NEW}, decrypt_only=["b"]),
        Encryption({"b": NEW, "a": OLD}, decrypt_only=["a"]),
        Encryption({"b": NEW}),
    ]
    for writer, reader in [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)]:
        payload = await deployments[writer].encode(PAYLOAD, STEP)
        assert await deployments[reader].decode(payload, STEP) == PAYLOAD


async def test_with_keys_for_reading_only_nothing_is_encrypted_yet() -> None:
    first = Encryption({"a": OLD}, decrypt_only=["a"])
    assert await first.encode(PAYLOAD, STEP) == PAYLOAD
    assert await first.decode(await Encryption({"a": OLD}).encode(PAYLOAD, STEP), STEP) == PAYLOAD


async def test_a_key_may_be_base64_as_in_a_secret() -> None:
    secret = b64encode(OLD).decode()
    assert await Encryption({"2025": secret}).decode(await sealed(), STEP) == PAYLOAD


@pytest.mark.parametrize(
    ("keys", "decrypt_only", "message"),
    [
        ({}, [], "Encryption: it has no keys"),
        ({"a": b"short"}, [], "Encryption: the key 'a' has 5 bytes, not 32"),
        ({"a": "not base64!"}, [], "Encryption: the key 'a' is not base64"),
        ({"": OLD}, [], "Encryption: the key id '' is not 1 to 64 bytes long"),
        ({"a": OLD}, ["b"], "Encryption: 'decrypt_only' names b, which 'keys' has not"),
    ],
)
def test_a_wrong_key_is_said_where_it_is_written(
    keys: dict[str, bytes | str], decrypt_only: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Encryption(keys, decrypt_only=decrypt_only)
    assert "short" not in str(caught.value)


async def test_who_has_no_key_still_learns_that_a_run_failed_and_why() -> None:
    async def work(ctx: Context[int]) -> None: ...

    function = App("shop", middleware=[Encryption({"2025": OLD})]).function(int)(work)
    assert function.chain is not None
    failure = failure_of(from_failure(failure_of(ValueError("no card")), name="run_1"))
    data = await function.chain.encode(failure.data, function.chain.about("failure"))
    told = from_failure(msgspec.structs.replace(failure, data=data), name="run_1")
    assert "no card" in str(told)
