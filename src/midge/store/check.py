"""Check: reads every record of a store directory and tells what is wrong, changing nothing.

What a server would find when it opens the streams is found here by the same code (``store.view``), and two things more: messages that
have become damaged since they were written, as nothing is taken from checkpoints, and a checkpoint that does not fit its segment,
which is how a log that was cut short exactly behind a record is found.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

from midge.store.recovery import Damage
from midge.store.view import LogView, Place, ReadFiles, StoreView, UnindexedFiles

__all__ = ["Finding", "check_stream", "find_damages"]


class Finding(NamedTuple):
    """What was found of one stream.

    Attributes:
        place: where it is.
        messages, size: how many there are, and what they count for in limits.
        first, last: sequences; see ``Store``.
        segments: files.
        consumers: how many there are.
        damages: what is wrong.
    """

    place: Place
    messages: int
    size: int
    first: int
    last: int
    segments: int
    consumers: int
    damages: list[Damage]


def find_damages(view: StoreView) -> list[Damage]:
    """Tell what is wrong with the directory itself: streams without files, and configurations that cannot be read."""
    damages = list(view.damages)
    places = {(place.account, place.stream) for place in view.streams}
    for (account, name), row in view.configs.items():
        if (account, name) not in places and row.created < view.before:  # else who had it noted was killed, and told nobody
            damages.append(Damage(f"{view.path}/streams", 0, 0, -1, f"the files of stream {name} of account {account} are missing", ""))
        stream = f"stream {name} of account {account}"
        kept = [
            (stream, row.config),
            *((f"consumer {each.name} of {stream}", each.config) for each in view.consumers.get((account, name), ())),
        ]
        for whose, config in kept:
            if not _is_readable(config):
                damages.append(Damage(f"{view.path}/state.db", 0, 0, -1, f"the configuration of {whose} cannot be read", ""))
    return damages


def _is_readable(config: bytes) -> bool:
    try:
        return isinstance(json.loads(config), dict)
    except ValueError:
        return False


def check_stream(view: StoreView, place: Place, progress: Callable[[int], None] = lambda size: None) -> Finding:
    """Read all of a stream.

    Args:
        view: of the store.
        place: where the stream is.
        progress: told of the bytes that were read.
    """
    try:
        return _check(view, place, UnindexedFiles(progress))
    except OSError as error:  # a file that cannot be read, or one of a later version: others may be good
        damage = Damage(place.path, 0, 0, -1, f"it cannot be read: {error}", "")
        return Finding(place, 0, 0, 0, 0, 0, _consumers(view, place), [damage])


def _check(view: StoreView, place: Place, files: UnindexedFiles) -> Finding:
    log = LogView(files, place.path)
    try:
        for name in log.unfit(ReadFiles(), place.path):
            log.damages.append(Damage(name, 0, 0, -1, "what was known of a segment does not fit the log", ""))
        index = log.index
        if index.messages and (place.account, place.stream) not in view.configs:  # an empty one may be left of making or deleting it
            log.damages.append(Damage(place.path, 0, 0, -1, "there is no configuration: no server has this stream", ""))
        found = index.messages, index.size, index.first, index.last, log.segments
        return Finding(place, *found, _consumers(view, place), log.damages)
    finally:
        log.close()


def _consumers(view: StoreView, place: Place) -> int:
    return len(view.consumers.get((place.account, place.stream), ()))
