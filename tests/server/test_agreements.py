"""server.agreements: cycles. Against nats-server: tests/interop/test_account_conversations.py."""

import pytest

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
