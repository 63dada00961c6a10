"""Every configuration of the corpus: midge says what nats-server says, with its positions and its digests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from corpus import CASES, ENVIRONMENT, ours, prepare


@pytest.fixture(scope="module", autouse=True)
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("corpus")
    prepare(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield path


def test_there_are_enough() -> None:
    refused = [case for case in CASES if "is valid" not in case.says[0]]
    assert len(refused) > 300 and len(CASES) - len(refused) > 90
    assert len({case.text for case in CASES}) == len(CASES)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_what_is_said_of_it(number: int) -> None:
    case = CASES[number]
    assert ours(case.text) == case.says, case.text
