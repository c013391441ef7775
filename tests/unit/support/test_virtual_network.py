"""Connections in memory, and their faults."""

import asyncio
import contextlib
import contextvars
import socket
from collections.abc import Awaitable, Callable

import pytest

from tests.support import Deadlock, Direction, Network, Signal, simulate

PORT = 9000
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError), contextlib.closing(writer):
        while data := await reader.read(1 << 16):
            writer.write(data)


async def connect(
    network: Network, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] = echo
) -> Streams:
    if network.listener_at(("127.0.0.1", PORT)) is None:
        await asyncio.start_server(serve, "127.0.0.1", PORT)
    return kept(*await asyncio.open_connection("127.0.0.1", PORT))


def kept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Streams:
    """Keep the writer as long as its connection; one that is collected while open warns."""
    vars(writer.transport)["keeps"] = writer
    return reader, writer


async def accept(network: Network) -> tuple[Streams, Streams]:
    accepted: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(kept(reader, writer))

    return await connect(network, keep), await accepted


def elapsed_ms(since_s: float) -> int:
    return round((asyncio.get_running_loop().time() - since_s) * 1000)


def test_a_round_trip_takes_twice_the_latency() -> None:
    async def main(network: Network) -> tuple[int, int]:
        network.latency_ms = (50, 50)
        started_s = asyncio.get_running_loop().time()
        reader, writer = await connect(network)
        opened_ms = elapsed_ms(started_s)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        return opened_ms, elapsed_ms(started_s)

    assert simulate(main) == (100, 200)


def test_what_a_client_has_written_arrives_although_its_process_ended() -> None:
    async def main(network: Network) -> tuple[bytes, bytes]:
        network.latency_ms = (50, 50)
        (_, client), (server, _) = await accept(network)
        client.write(b"last words")
        assert network.link().under_way(Direction.TO_SERVER) == len(b"last words")
        network.link().hang_up()
        return await server.read(100), await server.read(100)

    assert simulate(main) == (b"last words", b"")


def test_a_line_of_a_limited_speed_delivers_bit_by_bit_in_both_directions_at_once() -> None:
    async def main(network: Network) -> tuple[int, int, int]:
        network.latency_ms = (100, 100)
        reader, writer = await connect(network)
        network.bytes_s = 10_000
        started_s = asyncio.get_running_loop().time()
        writer.write(bytes(20_000))
        await reader.readexactly(1_460)
        first_ms = elapsed_ms(started_s)
        await reader.readexactly(18_540)
        writer.write(b"x")
        await reader.readexactly(1)
        return first_ms, elapsed_ms(started_s), len(network.trace)

    first_ms, last_ms, passed = simulate(main)
    assert (first_ms, last_ms) == (100 + 146 + 100 + 146, 200 + 2_000 + 146 + 200)
    assert passed > 25


def test_bytes_keep_their_order_whatever_the_latency_and_the_fragments() -> None:
    async def main(network: Network) -> bytes:
        network.latency_ms, network.fragment_bytes = (0, 500), 7
        reader, writer = await connect(network)
        for number in range(100):
            writer.write(b"%04d" % number)
            await asyncio.sleep(0.01)
        return await reader.readexactly(400)

    assert simulate(main) == b"".join(b"%04d" % number for number in range(100))


def test_fragments_both_split_and_join_what_was_written() -> None:
    async def main(network: Network) -> list[int]:
        network.fragment_bytes = 10
        reader, writer = await connect(network)
        for _ in range(100):
            writer.write(b"12345")
        await reader.readexactly(500)
        return [len(passed.item) for passed in network.trace if isinstance(passed.item, bytes)]

    sizes = simulate(main)
    assert {1, 6, 10} < set(sizes) <= set(range(1, 11))


def test_the_same_seed_gives_the_same_trace_and_another_seed_another() -> None:
    async def main(network: Network) -> object:
        network.latency_ms, network.fragment_bytes = (1, 90), 20
        reader, writer = await connect(network)
        writer.write(bytes(300))
        await reader.readexactly(300)
        return network.trace

    assert simulate(main, seed=1) == simulate(main, seed=1) != simulate(main, seed=2)


def test_a_reader_that_does_not_read_stops_the_writer() -> None:
    async def main(network: Network) -> int:
        (_, writer), (served, _) = await accept(network)
        writer.write(bytes(1_000_000))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.drain(), 3600)
        await served.readexactly(1_000_000)
        await writer.drain()
        return writer.transport.get_write_buffer_size()

    assert simulate(main) == 0


def test_ending_one_direction_leaves_the_other_open() -> None:
    async def main(network: Network) -> bytes:
        (reader, writer), (served, answer) = await accept(network)
        writer.write(b"question")
        writer.write_eof()
        answer.write(b"answer to " + await served.read())
        answer.close()
        return await reader.read()

    assert simulate(main) == b"answer to question"


def test_closing_delivers_what_was_written_before() -> None:
    async def main(network: Network) -> int:
        network.latency_ms = (5, 50)
        (_, writer), (served, _) = await accept(network)
        writer.write(bytes(1_000_000))
        writer.close()
        received = len(await served.read())
        await writer.wait_closed()
        return received

    assert simulate(main) == 1_000_000


def test_aborting_loses_the_write_buffer_and_ends_the_stream() -> None:
    async def main(network: Network) -> int:
        (_, writer), (served, _) = await accept(network)
        writer.write(bytes(1_000_000))
        writer.transport.abort()
        return len(await served.read())

    assert simulate(main) == 65_536


def test_bytes_for_an_end_that_has_closed_are_answered_with_a_reset() -> None:
    async def main(network: Network) -> None:
        (_, writer), (served, answer) = await accept(network)
        writer.close()
        assert await served.read() == b""
        answer.write(b"too late")
        await answer.wait_closed()

    with pytest.raises(ConnectionResetError):
        simulate(main)


@pytest.mark.parametrize("direction", [*Direction, None])
@pytest.mark.parametrize("after_bytes", range(1, 10))
def test_a_cut_lets_exactly_so_many_bytes_pass_and_both_ends_notice(
    after_bytes: int, direction: Direction | None
) -> None:
    async def main(network: Network) -> int:
        (reader, writer), (served, answer) = await accept(network)
        network.cut(after_bytes, direction)
        writer.write(b"12345")
        answer.write(b"12345")
        await asyncio.sleep(1)
        cut = isinstance(reader.exception(), ConnectionResetError)
        assert isinstance(served.exception(), ConnectionResetError) is cut is (direction is None or after_bytes <= 5)
        ways = (direction,) if direction else tuple(Direction)
        passed = [entry.item for entry in network.trace if entry.direction in ways]
        return sum(len(item) for item in passed if isinstance(item, bytes))

    assert simulate(main) == (after_bytes if direction is None else min(after_bytes, 5))


def test_a_cut_is_used_up_so_that_the_next_connection_works() -> None:
    async def main(network: Network) -> bytes:
        reader, writer = await connect(network)
        network.cut(after_bytes=3)
        writer.write(b"hello")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        reader, writer = await connect(network)
        writer.write(b"hello")
        return await reader.readexactly(5)

    assert simulate(main) == b"hello"


def test_a_cut_without_a_count_resets_what_is_open_now() -> None:
    async def main(network: Network) -> None:
        first, second = await connect(network), await connect(network)
        network.cut()
        for reader, _ in (first, second):
            with pytest.raises(ConnectionResetError):
                await reader.read()
        await asyncio.sleep(0)
        assert network.connections == []

    simulate(main)


@pytest.mark.parametrize("direction", Direction)
def test_a_black_hole_swallows_one_direction_and_nobody_notices(direction: Direction) -> None:
    async def main(network: Network) -> list[bool]:
        (reader, writer), (served, answer) = await accept(network)
        network.black_hole(direction)
        writer.write(b"question")
        answer.write(b"answer")
        await asyncio.sleep(86_400)
        assert not writer.is_closing()
        assert not answer.is_closing()
        return [bool(vars(end)["_buffer"]) for end in (served, reader)]

    assert simulate(main) == [direction is Direction.TO_CLIENT, direction is Direction.TO_SERVER]


def test_the_end_of_a_connection_vanishes_in_a_black_hole_too() -> None:
    async def main(network: Network) -> None:
        (_, writer), (served, _) = await accept(network)
        network.black_hole()
        writer.transport.abort()
        await served.read()

    with pytest.raises(Deadlock):
        simulate(main)


def test_a_connection_that_lost_bytes_is_reset_when_the_network_heals() -> None:
    async def main(network: Network) -> bytes:
        lossy, idle = await connect(network), await connect(network)
        network.black_hole()
        lossy[1].write(b"gone")
        await asyncio.sleep(60)
        network.heal()
        with pytest.raises(ConnectionResetError):
            await lossy[0].read()
        idle[1].write(b"still here")
        return await idle[0].readexactly(10)

    assert simulate(main) == b"still here"


def test_stalled_bytes_arrive_late_and_in_order() -> None:
    async def main(network: Network) -> tuple[bytes, int]:
        reader, writer = await connect(network)
        network.stall(Direction.TO_SERVER)
        started_s = asyncio.get_running_loop().time()
        writer.write(b"held ")
        await asyncio.sleep(20)
        writer.write(b"back")
        network.heal()
        return await reader.readexactly(9), elapsed_ms(started_s)

    assert simulate(main) == (b"held back", 20_000)


def test_a_delay_is_added_until_the_network_heals() -> None:
    async def main(network: Network) -> list[int]:
        reader, writer = await connect(network)
        network.latency_ms = (10, 10)
        network.link().delay(2_000)
        took_ms: list[int] = []
        for _ in range(2):
            started_s = asyncio.get_running_loop().time()
            writer.write(b"x")
            await reader.readexactly(1)
            took_ms.append(elapsed_ms(started_s))
            network.heal()
        return took_ms

    assert simulate(main) == [4_020, 20]


def test_faults_of_one_host_leave_the_others_alone() -> None:
    async def main(network: Network) -> bytes:
        with network.on_host("worker-1") as link:
            first = await connect(network)
        second = await connect(network)
        link.cut()
        with pytest.raises(ConnectionResetError):
            await first[0].read()
        second[1].write(b"hello")
        assert first[1].get_extra_info("sockname")[0] == "worker-1"
        return await second[0].readexactly(5)

    assert simulate(main) == b"hello"


def test_nobody_listening_refuses_and_so_does_the_fault() -> None:
    async def main(network: Network) -> list[str]:
        network.latency_ms = (50, 50)
        errors: list[str] = []
        for _ in range(2):
            started_s = asyncio.get_running_loop().time()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", PORT)
            errors.append(f"refused after {elapsed_ms(started_s)} ms")
            await asyncio.start_server(echo, "127.0.0.1", PORT + len(errors) - 1)
            network.refuse()
        network.heal()
        await connect(network)
        return errors

    assert simulate(main) == ["refused after 100 ms", "refused after 100 ms"]


def test_dialling_into_a_black_hole_times_out_as_linux_does() -> None:
    async def main(network: Network) -> int:
        network.black_hole(Direction.TO_CLIENT)
        started_s = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await connect(network)
        return elapsed_ms(started_s)

    assert simulate(main) == 127_000


def test_dialling_succeeds_at_the_next_retry_after_the_network_heals() -> None:
    async def main(network: Network) -> int:
        network.stall()
        started_s = asyncio.get_running_loop().time()
        asyncio.get_running_loop().call_later(5, network.heal)
        await connect(network)
        return elapsed_ms(started_s)

    assert simulate(main) == 7_000


def test_giving_up_while_dialling_resets_what_the_server_has_accepted() -> None:
    async def main(network: Network) -> object:
        network.latency_ms = (50, 50)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.08):
                await connect(network)
        await asyncio.sleep(1)
        assert network.connections == []
        return network.trace[-1].item

    assert simulate(main) is Signal.RESET


def test_an_address_is_taken_until_its_server_closes() -> None:
    async def main(network: Network) -> None:
        server = await asyncio.start_server(echo, "localhost", PORT)
        with pytest.raises(OSError, match="in use"):
            await asyncio.start_server(echo, "127.0.0.1", PORT)
        server.close()
        await server.wait_closed()
        await connect(network)

    simulate(main)


def test_a_server_has_closed_when_its_last_connection_has_ended() -> None:
    async def main(network: Network) -> int:
        server = await asyncio.start_server(echo, "127.0.0.1", PORT)
        _, writer = await connect(network)
        server.close()
        asyncio.get_running_loop().call_later(9, writer.close)
        started_s = asyncio.get_running_loop().time()
        await server.wait_closed()
        return elapsed_ms(started_s)

    assert simulate(main) == 9_000


def test_sockets_of_the_network_serve_where_real_ones_do() -> None:
    async def main(network: Network) -> bytes:
        listening = network.bind()
        await asyncio.start_server(echo, sock=listening)
        name, port = listening.getsockname()
        reader, writer = kept(*await asyncio.open_connection(sock=await network.dial(name, port)))
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        writer.write(b"hello")
        return await reader.readexactly(5)

    assert simulate(main) == b"hello"


def test_hooks_over_the_loop_do_not_see_bytes_travel() -> None:
    async def main(network: Network) -> list[object]:
        network.latency_ms = (50, 50)
        reader, writer = await connect(network)
        seen: list[object] = []

        def hook(*args: object, **_: object) -> None:
            seen.append(args)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio.get_running_loop(), "call_at", hook)
            writer.write(b"hello")
            await reader.readexactly(5)
        return seen

    assert simulate(main) == []


def test_each_end_hears_in_the_context_that_opened_it() -> None:
    role: contextvars.ContextVar[str] = contextvars.ContextVar("role")
    heard: list[tuple[str, str]] = []

    class Hearing(asyncio.Protocol):
        def __init__(self, name: str) -> None:
            self.name = name

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"hello")

        def data_received(self, data: bytes) -> None:
            heard.append((self.name, role.get()))

    async def main(_: Network) -> None:
        loop = asyncio.get_running_loop()
        role.set("server")
        await loop.create_server(lambda: Hearing("server"), "127.0.0.1", PORT)
        role.set("client")
        await loop.create_connection(lambda: Hearing("client"), "127.0.0.1", PORT)
        role.set("nobody")
        await asyncio.sleep(1)

    simulate(main)
    assert sorted(heard) == [("client", "client"), ("server", "server")]


def test_a_real_socket_is_refused() -> None:
    async def main(_: Network) -> None:
        with socket.socket() as real:
            await asyncio.open_connection(sock=real)

    with pytest.raises(TypeError, match="is real"):
        simulate(main)


def test_a_protocol_that_fails_breaks_its_connection_and_the_simulation() -> None:
    class Failing(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            raise ValueError(data)

    async def main(network: Network) -> None:
        await asyncio.get_running_loop().create_server(Failing, "127.0.0.1", PORT)
        reader, writer = await connect(network)
        writer.write(b"x")
        assert await reader.read() == b""

    with pytest.RaisesGroup(ValueError):
        simulate(main)
