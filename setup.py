"""Builds the compiled modules; everything else about the package is in pyproject.toml.

``MIDGE_EXT=require`` fails where the modules cannot be compiled, ``MIDGE_EXT=skip`` does not try, and without it the build
falls back to pure Python and says so: in the build's output, and in the wheel's tag. ``MODULES`` is the one list of what is
compiled; a test compares it with the .pxd files.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

MODULES = [
    "midge.subject",
    "midge.transform",
    "midge.message",
    "midge.wire.outbox",
    "midge.wire.publication",
    "midge.wire.parser",
    "midge.wire.encoder",
    "midge.wire.crc32c",
    "midge.wire.s2_block",
    "midge.link.readiness",
    "midge.link.reactor",
    "midge.link.socket",
    "midge.link.tls",
    "midge.link.framing",
    "midge.link.websocket",
    "midge.store.pool",
    "midge.store.blocks",
    "midge.store.series",
    "midge.store.postings",
    "midge.store.subjects",
    "midge.store.selections",
    "midge.store.glance",
    "midge.store.dump",
    "midge.store.sight",
    "midge.store.index",
    "midge.store.shelves",
    "midge.client.room",
    "midge.client.encoder",
    "midge.client.interest",
    "midge.client.session",
    "midge.client.publisher",
    "midge.jetstream.message",
    "midge.jetstream.pull",
    "midge.jetstream.async_publisher",
    "midge.store.record",
    "midge.store.tail",
    "midge.store.replay",
    "midge.store.shelf",
    "midge.store.reader",
    "midge.engine.headers",
    "midge.engine.dedupe",
    "midge.engine.claims",
    "midge.engine.checks",
    "midge.engine.ingest",
    "midge.engine.intake",
    "midge.engine.admission",
    "midge.engine.single",
    "midge.engine.consumers.redelivery",
    "midge.engine.consumers.ledger",
    "midge.engine.consumers.dump",
    "midge.engine.consumers.delivery",
    "midge.engine.consumers.acks",
    "midge.server.chance",
    "midge.server.guard",
    "midge.server.peer",
    "midge.server.inlet",
    "midge.server.tokens",
    "midge.server.trace_headers",
    "midge.server.results",
    "midge.server.stem",
    "midge.server.sublist",
    "midge.server.mapping",
    "midge.server.stream_imports",
    "midge.server.service_imports",
    "midge.server.account",
    "midge.server.info",
    "midge.server.route",
    "midge.server.subscribing",
    "midge.server.session",
    "midge.server.admission",
    "midge.server.publishing",
    "midge.server.sending",
    "midge.server.hub",
]
DIRECTIVES = {"language_level": 3, "annotation_typing": False, "freethreading_compatible": True}
# What CFLAGS says of optimising holds; it stands before what is given here, and the compiler believes the last.
OPTIMISING = [] if os.name == "nt" or "-O" in os.environ.get("CFLAGS", "") else ["-O2"]
COMPILERS = min(os.cpu_count() or 1, 8)  # at a time; the largest module takes some 500 MB
MODE = os.environ.get("MIDGE_EXT", "try")
NOTICE = "midge: NOT COMPILED, the pure Python modules are used and the message path is many times slower"


def say(text: str) -> None:
    """Print on the terminal's own stream: pip shows a build's standard error only when it fails."""
    print(f"\n*** {text}\n", file=sys.stderr, flush=True)


class BuildExtensions(build_ext):
    """Compile, or fall back as a whole: a half-compiled package would mix typed and untyped objects."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or COMPILERS

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            if MODE == "require":
                raise
            for name in MODULES:
                Path(self.get_ext_fullpath(name)).unlink(missing_ok=True)
            self.extensions = []
            self.distribution.ext_modules = []
            say(f"{NOTICE} ({error.__class__.__name__}: {error})")


class BuildWheel(bdist_wheel):
    """Compile first, because the wheel's tag depends on whether that works: py3-none-any where it does not."""

    def run(self) -> None:
        self.run_command("build_ext")
        self.root_is_pure = not self.distribution.has_ext_modules()
        super().run()


def extensions() -> list[Extension]:
    if MODE not in ("require", "skip", "try"):
        raise SystemExit(f"MIDGE_EXT={MODE}: expected require or skip")
    if MODE == "skip":
        say(f"{NOTICE} (MIDGE_EXT=skip)")
        return []
    try:
        from Cython.Build import cythonize

        return cythonize(
            [Extension(name, [f"src/{name.replace('.', '/')}.py"], extra_compile_args=OPTIMISING) for name in MODULES],
            compiler_directives=DIRECTIVES,
            build_dir="build/cython",
            nthreads=0,
        )
    except Exception as error:
        if MODE == "require":
            raise
        say(f"{NOTICE} ({error.__class__.__name__}: {error})")
        return []


setup(ext_modules=extensions(), cmdclass={"bdist_wheel": BuildWheel, "build_ext": BuildExtensions})
