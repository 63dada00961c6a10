"""Runs a fuzz target with the mutator that is built in, or guided by coverage where atheris is installed.

    python fuzz/fuzz_parser.py --seconds 60 --seed 1
    python fuzz/fuzz_parser.py --atheris [libFuzzer flags]

The first mutates a corpus at random, the same way for the same seed, and shows the stream that broke something.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from random import Random

__all__ = ["SEEDS", "cut", "run"]

SEEDS = (
    b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"protocol":1}\r\n',
    b"CONNECT {}\r\n", b"connect null\n", b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"-ERR 'x'\r\n", b'INFO {"server_id":"x"}\r\n',
    b"SUB a 1\r\n", b"SUB a.* q 2\r\n", b"SUB > 3\r\n", b"SUB _INBOX.x.* 4\r\n", b"UNSUB 1\r\n", b"UNSUB 2 5\r\n", b"SUB a.>.b 5\r\n",
    b"PUB a 5\r\nhello\r\n", b"PUB a.b _INBOX.x.1 2\r\nhi\r\n", b"pub\ta  r\t0\n\r\n", b"PUB a.* 0\r\n\r\n", b"PUB $JS.ACK.x r 0\r\n\r\n",
    b"HPUB a 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n", b"HPUB a r 12 12\r\nNATS/1.0\r\n\r\n\r\n", b"PUB nobody _INBOX.x.2 0\r\n\r\n",
    b"MSG a 1 5\r\nhello\r\n", b"MSG a 1 r  2\r\nhi\r\n", b"HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
    b"HMSG a 1 r 12 12\nNATS/1.0\r\n\r\n\r\n", b"HMSG anything\r\n\r\n",
)  # fmt: skip
SCRAPS = (b" ", b"\t", b"\r", b"\n", b"\r\n", b"\x00", b"\xff", b"*", b">", b".", b"-1", b"0", b"9" * 9, b"9" * 20, b"A" * 70)


def mutate(data: bytes, random: Random) -> bytes:
    """A stream that differs from this one in a few places."""
    found = bytearray(data)
    for _ in range(random.choice((0, 0, 1, 1, 2, 4, 8))):
        start = random.randint(0, len(found))
        stop = min(len(found), start + random.choice((0, 1, 1, 2, 5, 20)))
        kind = random.randrange(5)
        if kind == 0:
            found[start:stop] = b""
        elif kind == 1:
            found[start:start] = random.choice(SCRAPS)
        elif kind == 2:
            found[start:stop] = random.randbytes(stop - start)
        elif kind == 3:
            found[start:start] = found[start:stop] * random.choice((1, 2, 50))
        elif start < len(found):
            found[start] ^= 1 << random.randrange(8)
    return bytes(found)


def cut(data: bytes, random: Random) -> list[bytes]:
    """The stream in a few pieces."""
    places = sorted(random.randint(0, len(data)) for _ in range(random.randint(0, 6)))
    return [data[start:stop] for start, stop in zip([0, *places], [*places, len(data)])]


def run(target: Callable[[bytes], None], arguments: Sequence[str], seeds: Sequence[bytes] = SEEDS) -> None:
    """Feed the target until the time or the number of runs is over, or it raises; then show what it was fed."""
    parser = argparse.ArgumentParser(description=target.__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=sys.maxsize)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--atheris", action="store_true")
    options, rest = parser.parse_known_args(arguments)
    if options.atheris:
        import atheris

        atheris.instrument_all()
        atheris.Setup([sys.argv[0], *rest], target)
        atheris.Fuzz()
    random, end, runs = Random(options.seed), time.monotonic() + options.seconds, 0
    while runs < options.runs and time.monotonic() < end:
        data = mutate(b"".join(random.choices(seeds, k=random.randint(1, 12))), random)
        try:
            target(data)
        except BaseException:
            print(f"seed {options.seed}, run {runs}: {data!r}", file=sys.stderr)
            raise
        runs += 1
    print(f"{target.__name__}: {runs} runs, seed {options.seed}, nothing found")
