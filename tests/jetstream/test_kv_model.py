"""A bucket beside a dict of what it has to hold, whatever is done to it; on all servers.

``MIDGE_LONG=1`` tries 400 histories each time.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from bucket_worlds import bucket, first_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midge.jetstream.key_value.errors import KeyExistsError, KeyNotFoundError, WrongRevisionError

HISTORY = 3
LONG = os.environ.get("MIDGE_LONG", "") not in ("", "0")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "create", "update", "stale", "delete", "purge"]), st.sampled_from(["a", "b.c"]), st.binary(max_size=3)
    ),
    max_size=12,
)  # fmt: skip


async def play(url: str, steps: list[tuple[str, str, bytes]]) -> None:
    model: dict[str, list[tuple[int, str, bytes]]] = {}  # by key: revision, operation, value
    async with bucket(url, history=HISTORY) as kv:
        for count, (what, key, value) in enumerate(steps):
            past = model.setdefault(key, [])
            last = past[-1] if past else (0, "DEL", b"")
            if what == "put":
                past.append((await kv.put(key, value), "PUT", value))
            elif what == "create":
                try:
                    past.append((await kv.create(key, value), "PUT", value))
                    assert last[1] != "PUT", (count, what)
                except KeyExistsError:
                    assert last[1] == "PUT", (count, what)
            elif what == "update":
                past.append((await kv.update(key, value, last[0]), "PUT", value))
            elif what == "stale":
                with pytest.raises(WrongRevisionError):
                    await kv.update(key, value, last[0] + 1_000)
            elif what == "delete":
                past.append((await kv.delete(key), "DEL", b""))
            else:
                past[:] = [(await kv.purge(key), "PURGE", b"")]
            del past[:-HISTORY]
        for key in ("a", "b.c"):
            await compare(kv, key, model.get(key, []))
        living = {key: past[-1] for key, past in model.items() if past and past[-1][1] == "PUT"}
        assert sorted([key async for key in kv.keys()]) == sorted(living)
        async with kv.watch() as watcher:
            found = {entry.key: (entry.revision, entry.operation, entry.value) for entry in await first_of(watcher)}
        assert found == {key: past[-1] for key, past in model.items() if past}
        async with kv.watch(include_history=True) as watcher:
            everything = [(entry.revision, entry.operation, entry.value) for entry in await first_of(watcher)]
        assert everything == sorted(each for past in model.values() for each in past)


async def compare(kv: Any, key: str, past: list[tuple[int, str, bytes]]) -> None:
    if past and past[-1][1] == "PUT":
        entry = await kv.get(key)
        assert (entry.revision, entry.operation, entry.value) == past[-1]
    else:
        with pytest.raises(KeyNotFoundError):
            await kv.get(key)
    if past:
        assert [(entry.revision, entry.operation, entry.value) for entry in await kv.history(key)] == past
    else:
        with pytest.raises(KeyNotFoundError):
            await kv.history(key)


@pytest.mark.cluster
@pytest.mark.timeout(1_800 if LONG else 60)
@settings(
    max_examples=400 if LONG else 12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(STEPS)
def test_a_bucket_is_what_a_dict_would_be(url: str, steps: list[tuple[str, str, bytes]]) -> None:
    asyncio.run(play(url, steps))
