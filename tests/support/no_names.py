"""A name server that knows no name: `python -m tests.support.no_names ADDRESS`. Says on stdout when it listens."""

import socket
import sys

NO_SUCH_NAME = b"\x81\x83"
ONE_QUESTION_NO_ANSWER = b"\x00\x01" + bytes(6)
HEADER_BYTES = 12

if __name__ == "__main__":
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind((sys.argv[1], 53))
        print("ready", flush=True)  # noqa: T201 - that is what it is for
        while True:
            request, asker = listening.recvfrom(512)
            end = request.index(b"\0", HEADER_BYTES) + 5  # the name, its kind, its class
            listening.sendto(request[:2] + NO_SUCH_NAME + ONE_QUESTION_NO_ANSWER + request[HEADER_BYTES:end], asker)
