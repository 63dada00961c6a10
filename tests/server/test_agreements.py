"""server.agreements: cycles, and what thousands of accounts cost. Against nats-server: tests/interop/test_account_conversations.py."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from midge.server import patterns
from midge.server.account_options import AccountOptions, Export, Import
from midge.server.agreements import agree


def ring(count: int, kind: str) -> tuple[AccountOptions, ...]:
    """Accounts that each import from the next, the last from the first."""
    return tuple(
        AccountOptions(
            name=f"R{number}", exports=(Export(kind=kind, subject="a.>"),),
            imports=(Import(kind=kind, account=f"R{(number + 1) % count}", subject="a.>"),),
        )
        for number in range(count)
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["stream", "service"])
@pytest.mark.parametrize("count", [2, 3, 40])
def test_a_ring_is_refused_and_a_chain_is_not(kind: str, count: int) -> None:
    accounts = ring(count, kind)
    with pytest.raises(ValueError, match="import forms a cycle"):
        agree(accounts)
    chain = (*accounts[:-1], AccountOptions(name=accounts[-1].name, exports=accounts[-1].exports))
    assert len(getattr(agree(chain), f"{'streams' if kind == 'stream' else 'services'}")["R0"]) == 1


def test_an_export_for_nobody() -> None:
    exporter = AccountOptions(name="B", exports=(Export(kind="stream", subject="a", accounts=()),))
    with pytest.raises(ValueError, match="stream import not authorized"):
        agree((exporter, AccountOptions(name="A", imports=(Import(kind="stream", account="B", subject="a"),))))


def comparisons(monkeypatch: pytest.MonkeyPatch, accounts: tuple[AccountOptions, ...]) -> int:
    """How often two patterns are compared to find out what the accounts have agreed."""
    counted = 0

    def counting(compare: Callable[[str, str], bool]) -> Callable[[str, str], bool]:
        def compared(one: str, other: str) -> bool:
            nonlocal counted
            counted += 1
            return compare(one, other)

        return compared

    with monkeypatch.context() as patched:
        for name in ("is_subset", "collide"):
            patched.setattr(patterns, name, counting(getattr(patterns, name)))
        agree(accounts)
    return counted


def offers(count: int, kind: str, name: str, subject: str) -> AccountOptions:
    """An account that exports so many subjects."""
    return AccountOptions(name=name, exports=tuple(Export(kind=kind, subject=subject.format(each)) for each in range(count)))


def imports(count: int, kind: str, exporter: str, subject: str) -> tuple[Import, ...]:
    return tuple(Import(kind=kind, account=exporter, subject=subject.format(each)) for each in range(count))


@pytest.mark.parametrize("kind", ["stream", "service"])
@pytest.mark.parametrize("subject", ["s.{}", "t.{}.*", "t.{}.>"])
def test_each_import_is_compared_with_what_it_could_be_of(monkeypatch: pytest.MonkeyPatch, kind: str, subject: str) -> None:
    count = 100
    far = offers(count, kind, "A", subject)
    middle = replace(offers(count, kind, "B", subject), imports=imports(count, kind, "A", subject))
    near = AccountOptions(name="C", imports=imports(count, kind, "B", subject))
    assert 3 * count <= comparisons(monkeypatch, (far, middle, near)) <= 10 * count


@pytest.mark.parametrize("kind", ["stream", "service"])
def test_a_hub_of_many_accounts_is_no_trouble(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    count = 100
    spokes = tuple(replace(offers(1, kind, f"S{each}", f"s.{each}"), imports=imports(1, kind, "HUB", f"h.{each}")) for each in range(count))
    own = tuple(Import(kind=kind, account=f"S{each}", subject=f"s.{each}") for each in range(count))
    assert comparisons(monkeypatch, (replace(offers(count, kind, "HUB", "h.{}"), imports=own), *spokes)) <= 10 * count
