"""A pod of its own on this machine, out of namespaces: a network from which only a proxy can be reached and into which
nobody gets, and a process in it that may do nothing.

    with PodNetwork() as network:
        Tunnels(listening=network.proxy) ...         # reached from inside as network.proxy_address
        Popen(network.confined("worker", ..., writable=[...]))

The pod has one cable, to another network in which nothing is but the socket that the proxy listens on.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PROXY, POD, PORT = "192.0.2.1", "192.0.2.2", 3128  # addresses for documentation: they lead nowhere
TOOLS = ("unshare", "nsenter", "ip", "nft", "ss", "bwrap")

FIREWALL = """
table inet pod {
  chain input {
    type filter hook input priority 0; policy drop;
    ct state established,related accept
  }
}
"""


ALL_THAT_IT_TAKES = (
    "ip link add cable type veth peer name pod && nft --file - && bwrap --unshare-user --ro-bind / / true"
)


def may_make_pods() -> bool:
    """Tell whether this machine has what a pod is made of, and lets us."""
    if sys.platform != "linux" or not all(map(shutil.which, TOOLS)):
        return False
    made = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", ALL_THAT_IT_TAKES]
    return subprocess.run(made, input=FIREWALL, text=True, capture_output=True, check=False).returncode == 0


class PodNetwork:
    """Both networks, from `__enter__` to `__exit__`. `proxy` listens in the other one, for a proxy that is here."""

    proxy_address = f"{PROXY}:{PORT}"
    proxy: socket.socket

    def __enter__(self) -> Self:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            command = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-m", __name__]
            self._keeper = subprocess.Popen(
                [*command, str(theirs.fileno())], pass_fds=[theirs.fileno()], stdin=subprocess.PIPE
            )
            theirs.close()
            said, [fd], _, _ = socket.recv_fds(ours, 64, 1)
        self._pod = int(said)
        self.proxy = socket.socket(fileno=fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.proxy.close()
        self._keeper.communicate()

    def inside(self, *command: str) -> list[str]:
        """Return a command line that runs a command in the pod's network, with all rights there."""
        return ["nsenter", f"--target={self._pod}", "--user", "--preserve-credentials", "--net", *command]

    def confined(self, *command: str, writable: Sequence[Path] = ()) -> list[str]:
        """Return one that runs it as the kubelet does for a restricted pod: user 65532 without capabilities, on a file
        system that cannot be written but for some empty folders.
        """
        folders = [word for folder in writable for word in ("--tmpfs", str(folder))]
        rights = ("--die-with-parent", "--unshare-user", "--uid", "65532", "--gid", "65532", "--cap-drop", "ALL")
        return self.inside("bwrap", *rights, "--ro-bind", "/", "/", "--dev", "/dev", *folders, "--", *command)

    def outside(self, *command: str) -> list[str]:
        """Return one that runs it in the network at the other end of the pod's cable."""
        keeper = f"--target={self._keeper.pid}"
        return ["nsenter", keeper, "--user", "--preserve-credentials", "--net", *command]


def _keep(fd: int) -> None:
    """Make both networks, hand out the listening socket, and keep all until stdin is closed."""
    pod = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert pod.stdin is not None
    assert pod.stdout is not None
    pod.stdin.write(b"?")  # the answer comes from the new namespace
    pod.stdin.flush()
    pod.stdout.read(1)
    _run(f"ip link add cable type veth peer name pod netns {pod.pid}")
    _run(f"ip address add {PROXY}/30 dev cable")
    _run("ip link set cable up")
    inside = f"nsenter --target={pod.pid} --net "
    for command in (f"ip address add {POD}/30 dev pod", "ip link set pod up", "ip link set lo up"):
        _run(inside + command)
    _run(f"{inside}nft --file -", FIREWALL)
    with socket.socket(fileno=fd) as told, socket.create_server((PROXY, PORT)) as listening:
        socket.send_fds(told, [str(pod.pid).encode()], [listening.fileno()])
    sys.stdin.read()
    pod.communicate()


def _run(command: str, text: str = "") -> None:
    subprocess.run(command.split(), input=text, text=True, check=True)


if __name__ == "__main__":
    _keep(int(sys.argv[1]))
