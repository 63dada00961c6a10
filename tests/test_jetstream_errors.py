"""jetstream_errors: the table is nats-server's, and the engine's errors fill in what the texts name."""

import copy
import json
import pickle

import pytest
from jetstream_errors_table import MODULE, TABLE, source

from midge.engine.errors import ApiError
from midge.errors import JetStreamError
from midge.jetstream_errors import ERRORS


def test_the_module_is_made_from_the_table() -> None:
    assert MODULE.read_text("utf-8") == source()


def test_every_error_is_there() -> None:
    rows = json.loads(TABLE.read_text("utf-8"))
    assert len(ERRORS) == len(rows) == 226
    assert {row["error_code"]: (row["code"], row["constant"], row["description"]) for row in rows} == ERRORS


def test_an_error_has_the_codes_and_the_text_with_its_values() -> None:
    error = ApiError(10071, seq=7)
    assert (error.code, error.err_code, error.description) == (400, 10071, "wrong last sequence: 7")
    assert str(error) == "wrong last sequence: 7 (10071)"
    assert error.as_json() == b'{"code":400,"err_code":10071,"description":"wrong last sequence: 7"}'
    assert isinstance(error, JetStreamError) and error.body().description == error.description
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is ApiError and str(other) == str(error)


def test_values_are_taken_as_they_are() -> None:
    """A value that looks like another name, or like a pattern, is only a text."""
    error = ApiError(10022, prefix="{subject}", subject=r"\1")
    assert "{prefix}" not in error.description
    assert ApiError(10052, err="{err}").description == "{err}"


@pytest.mark.parametrize(("code", "values"), [(10052, {}), (10059, {"err": "x"})])
def test_values_that_are_missing_or_unknown_are_mistakes_of_ours(code: int, values: dict[str, str]) -> None:
    with pytest.raises((AssertionError, KeyError)):
        ApiError(code, **values)
