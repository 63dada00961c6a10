"""What a stream may listen to, and what its transform and republishing may be."""

from __future__ import annotations

import msgspec

from midge.engine.crossings import Crossings
from midge.engine.errors import ApiError, invalid_config
from midge.engine.names import is_subject
from midge.model.stream import StreamConfig
from midge.quote import quote
from midge.transform import Transform, check_destination, collide, is_subset

__all__ = ["check_mapping", "check_republish", "check_subject_transform", "check_subjects", "fill_republish"]

_API = ("$JS.>", "$JSC.>", "$NRG.>")


def check_mapping(source: str, destination: str) -> None:
    """Refuse a transform that cannot be; one without a destination is none, and fine.

    Raises:
        ValueError: in nats-server's words.
    """
    if destination:
        check_destination(destination)
        Transform(source, destination)


def check_subjects(config: StreamConfig) -> None:
    """Give a stream without subjects or origins its name as one, and refuse what it cannot listen to."""
    if not config.subjects:
        if config.mirror is None and not config.sources:
            config.subjects = [config.name]
        return
    if config.mirror is not None:
        raise ApiError(10034)
    seen: set[str] = set()
    crossings = Crossings(config.subjects)
    for place, subject in enumerate(config.subjects):
        if not is_subject(subject):
            raise invalid_config("invalid subject")
        if subject in seen:
            raise invalid_config("duplicate subjects detected")
        if subject == ">" and not config.no_ack:
            raise invalid_config("capturing all subjects requires no-ack to be true")
        if subject == ">" and config.num_replicas != 1:
            raise invalid_config("capturing all subjects requires replicas of 1")
        if not config.no_ack:
            _check_reserved(subject)
        other = crossings.find(subject, place + 1)
        if other is not None:
            raise invalid_config(f"subject {_quoted(subject)} overlaps with {_quoted(other)}")
        seen.add(subject)


def check_subject_transform(config: StreamConfig) -> None:
    """Refuse a transform of what comes in that cannot be."""
    transform = config.subject_transform
    if transform is None:
        return
    if transform.src and not is_subject(transform.src):
        raise ApiError(10155, err=f"invalid subject {transform.src}")
    try:
        check_mapping(transform.src, transform.dest)
    except ValueError as error:
        raise ApiError(10156, err=error) from None


def check_republish(config: StreamConfig, pedantic: bool) -> None:
    """Refuse to publish again what the stream itself would take."""
    if config.republish is None:
        return
    again = config.republish = msgspec.structs.replace(config.republish)
    if not again.src:
        if pedantic:
            raise ApiError(10157, err="republish source can not be empty")
        again.src = ">"
    transform = config.subject_transform
    if again.dest == again.src == ">" and transform is not None and config.subjects == [transform.src]:
        if pedantic:
            raise ApiError(10157, err="implicit republish based on subject transform")
        again.src = again.dest = transform.dest
    if any(collide(again.dest, subject) for subject in config.subjects):
        raise invalid_config("stream configuration for republish destination forms a cycle")
    try:
        if again.dest:
            Transform(again.src, again.dest)
    except ValueError:
        text = f"stream configuration for republish with transform from '{again.src}' to '{again.dest}' not valid"
        raise invalid_config(text) from None


def fill_republish(config: StreamConfig) -> None:
    """Make everything of a destination that an update leaves empty, as there; but not where the stream would take it again.

    nats-server lets that be, and goes round in circles.
    """
    again = config.republish
    if again is None or again.dest:
        return
    again.dest = ">"
    try:
        Transform(again.src, ">")
    except ValueError as error:
        raise ApiError(10069, err=f"stream configuration for republish from '{again.src}' to '>': {error}") from None
    if config.subjects:
        raise invalid_config("stream configuration for republish destination forms a cycle")


def _check_reserved(subject: str) -> None:
    """Refuse the subjects of the server itself."""
    if subject[:1] not in ("$", "*", ">"):
        return
    if any(collide(subject, namespace) for namespace in _API) and not is_subset(subject, "$JS.EVENT.>"):
        raise invalid_config("subjects that overlap with jetstream api require no-ack to be true")
    if collide(subject, "$SYS.>") and not is_subset(subject, "$SYS.ACCOUNT.>"):
        raise invalid_config("subjects that overlap with system api require no-ack to be true")


def _quoted(subject: str) -> str:
    return quote(subject.encode())
