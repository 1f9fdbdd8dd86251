"""Key-value stores: conflicts, refusals, and a store that stops in the middle."""

from collections.abc import Sequence

import pytest

from flowkit.drivers.base import Done, Lost, Started
from flowkit.drivers.kv import KVDriver
from flowkit.drivers.kv_store import instant_key
from flowkit.drivers.memory import MemoryDriver, MemoryKV
from flowkit.errors import PayloadError, StoreBusy, StoreError
from tests.drivers.ops import NOW, change, entry, owned, start, worker


class Contended(MemoryKV):
    """Before each batch something else happens once."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[object] = []

    def batch(
        self,
        checks: Sequence[tuple[bytes, int]],
        puts: Sequence[tuple[bytes, bytes]],
        deletes: Sequence[bytes],
        ranges: Sequence[tuple[bytes, bytes]],
    ) -> bool:
        if self.before:
            happens = self.before.pop()
            assert callable(happens)
            happens()
        return super().batch(checks, puts, deletes, ranges)


def test_a_store_without_atomic_batches_is_refused() -> None:
    kv = MemoryKV()
    kv.atomic = False

    with pytest.raises(StoreError, match="two writes"):
        KVDriver(kv)


def test_handles_share_a_store() -> None:
    kv = MemoryKV()
    one, other = MemoryDriver(kv), MemoryDriver(kv)

    one.write([start()], NOW)

    assert other.get("r") is not None


def test_a_write_of_another_handle_ends_the_wait() -> None:
    kv = MemoryKV()
    one, other = MemoryDriver(kv), MemoryDriver(kv)
    while one.wait(0):
        pass

    other.write([start()], NOW)

    assert one.wait(1)


def test_our_own_writes_do_not_end_our_wait() -> None:
    driver = MemoryDriver()
    driver.write([start()], NOW)

    assert not driver.wait(0.01)


def test_a_conflict_is_decided_anew() -> None:
    kv = Contended()
    one, other = KVDriver(kv), KVDriver(kv)
    (run,) = owned(one, "r")
    kv.before = [lambda: other.write([change(run, add=[entry(1)])], NOW)]

    (result,) = one.write([change(run, add=[entry(1)])], NOW)

    assert result == Lost(epoch=1, head=1)


def test_two_starts_of_one_id_at_once_make_one_run() -> None:
    kv = Contended()
    one, other = KVDriver(kv), KVDriver(kv)
    kv.before = [lambda: other.write([start(token="other")], NOW)]

    (result,) = one.write([start()], NOW)

    assert not isinstance(result, Started)


def test_two_claims_at_once_take_a_run_once() -> None:
    kv = Contended()
    one, other = KVDriver(kv), KVDriver(kv)
    mine, theirs = worker(one), worker(other)
    one.write([start()], NOW)
    kv.before = [lambda: other.claim(theirs, {"w": "c"}, 1, NOW)]

    assert not one.claim(mine, {"w": "c"}, 1, NOW).runs


def test_a_claim_and_a_takeover_at_once_strand_nothing() -> None:
    kv = Contended()
    one, other = KVDriver(kv), KVDriver(kv)
    mine, theirs = worker(one), worker(other)
    one.write([start()], NOW)
    kv.before = [lambda: other.reap(NOW, dead=[mine])]

    with pytest.raises(StoreError):
        one.claim(mine, {"w": "c"}, 1, NOW)

    assert len(other.claim(theirs, {"w": "c"}, 1, NOW).runs) == 1


def test_a_store_that_never_agrees_is_busy() -> None:
    kv = MemoryKV()
    driver = KVDriver(kv)
    kv.batch = lambda *_: False  # type: ignore[method-assign]

    with pytest.raises(StoreBusy):
        driver.write([start()], NOW)


def test_a_lease_that_has_run_out_is_a_death() -> None:
    driver = MemoryDriver()
    owned(driver, "r")

    assert driver.reap(NOW + 14) == 0
    assert driver.reap(NOW + 16) == 1


def test_a_beat_keeps_the_lease() -> None:
    driver = MemoryDriver()
    holder = worker(driver)

    driver.beat(holder, NOW + 10)

    driver.reap(NOW + 20)
    assert [row.state for row in driver.workers()] == ["live"]


def test_a_record_that_cannot_be_read_is_a_payload_error() -> None:
    driver = MemoryDriver()
    (run,) = owned(driver, "r")
    driver.write([change(run, add=[entry(1)])], NOW)
    ((place, _, _),) = driver.kv.scan(b"e", b"f", 9)
    driver.kv.batch([], [(place, b"\xc1")], [], [])

    with pytest.raises(PayloadError):
        driver.load(run)


def test_the_same_operations_make_the_same_store() -> None:
    stores = []
    for _ in range(2):
        driver = MemoryDriver()
        (run,) = owned(driver, "r")
        assert isinstance(driver.write([change(run, add=[entry(1)])], NOW)[0], Done)
        stores.append(driver.kv.scan(b"\x00", b"\xff", 1_000))

    assert stores[0] == stores[1]


def test_instants_sort_as_bytes() -> None:
    instants = [-1e300, -2.5, -1.0, -0.25, 0.0, 0.25, 1.0, 2.5, NOW, 1e300]

    assert sorted(instants, key=instant_key) == instants


def test_a_scan_goes_both_ways_within_its_bounds() -> None:
    kv = MemoryKV()
    kv.batch([], [(bytes((65, n)), b"") for n in range(6)], [], [])

    forwards = [key[1] for key, _, _ in kv.scan(b"A\x01", b"A\x05", 3)]
    backwards = [key[1] for key, _, _ in kv.scan(b"A\x01", b"A\x05", 3, reverse=True)]

    assert (forwards, backwards) == ([1, 2, 3], [4, 3, 2])


def test_a_failed_check_changes_nothing() -> None:
    kv = MemoryKV()
    kv.batch([], [(b"a", b"1")], [], [])

    assert not kv.batch([(b"a", 99)], [(b"b", b"2")], [b"a"], [])
    assert (kv.get(b"a"), kv.get(b"b")) == ((b"1", 1), None)
