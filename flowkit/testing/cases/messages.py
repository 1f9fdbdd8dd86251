"""Messages from outside: numbers, wake-ups, keys, repeats, limits."""

from __future__ import annotations

from flowkit.core.change import Outgoing, Park
from flowkit.drivers.base import Duplicate, Ended, NoRun, Send, Sent
from flowkit.testing.cases.base import NOW, Case

__all__ = ["Messages"]


class Messages(Case):
    """Messages from outside."""

    def test_a_message_gets_the_next_number(self) -> None:
        self.start()

        assert [self.send() for _ in range(3)] == [Sent(number=1), Sent(number=2), Sent(number=3)]
        assert self.row().inbox == 3

    def test_numbers_are_given_once(self) -> None:
        hold = self.held()
        self.send()
        hold.write(consume=[1])

        assert self.send() == Sent(number=2)

    def test_a_message_is_kept_as_it_was_sent(self) -> None:
        self.start()

        self.send(name="paid", body=b'{"a": 1}', message_id="m-9", sender="me", key="k", reply=True, now=NOW + 1)

        (message,) = self.driver.inbox(self.row().seq, (), 10)
        assert (message.seq, message.id, message.name, message.body) == (1, "m-9", "paid", b'{"a": 1}')
        assert (message.sender, message.key, message.reply, message.sent_at) == ("me", "k", True, NOW + 1)

    def test_a_message_keeps_the_trace_that_it_was_sent_in(self) -> None:
        hold = self.held()
        self.start("sender")
        self.send(context="from outside")
        send = Outgoing(to="r", message_id="s/1", name="m", body=b"1", context="from a run")
        self.claimed("sender").write(sends=[send])

        kept = [message.context for message in self.driver.inbox(hold.run, (), 10)]
        assert kept == ["from outside", "from a run"]

    def test_a_body_may_be_any_bytes(self) -> None:
        self.start()
        bodies = [b"", b"\x00\xff", b"base64:??", "ü".encode()]

        for body in bodies:
            self.send(body=body)

        assert [message.body for message in self.driver.inbox(self.row().seq, (), 10)] == bodies

    def test_a_message_to_nobody_is_refused(self) -> None:
        assert self.send("nobody") == NoRun()

    def test_a_message_to_an_ended_run_is_refused(self) -> None:
        self.ended()

        assert self.send() == Ended(status="completed")
        assert self.row().inbox == 0

    def test_a_paused_run_accepts_messages(self) -> None:
        self.parked(waiting=("m",))
        self.steer("pause")

        assert self.send() == Sent(number=1)
        assert self.row().wake_at is None

    def test_a_blocked_run_accepts_messages(self) -> None:
        hold = self.held()
        hold.write(bump="block", status="blocked")

        assert self.send() == Sent(number=1)
        assert self.row().wake_at is None

    def test_an_awaited_message_wakes_the_run(self) -> None:
        self.parked(waiting=("a", "m"))

        self.send(name="m", now=NOW + 7)

        assert self.row().wake_at == NOW + 7

    def test_a_message_of_another_name_wakes_nobody(self) -> None:
        self.parked(waiting=("a", "mm"))

        self.send(name="m")

        assert self.row().wake_at is None

    def test_any_message_wakes_a_run_that_waits_for_any(self) -> None:
        self.parked(waiting=("*",))

        self.send(name="whatever")

        assert self.row().wake_at == NOW

    def test_a_run_that_waits_for_time_alone_sleeps_on(self) -> None:
        self.parked(wake_at=NOW + 60, waiting=None)

        self.send()

        assert self.row().wake_at == NOW + 60

    def test_a_message_does_not_delay_a_run_that_is_due(self) -> None:
        self.parked(wake_at=NOW + 1, waiting=("m",))

        self.send(now=NOW + 5)

        assert self.row().wake_at == NOW + 1

    def test_a_message_rings_the_owners_bell(self) -> None:
        hold = self.held()

        self.send(name="whatever")

        claimed = self.claim()
        assert (list(claimed.runs), list(claimed.bells)) == ([], [hold.run])

    def test_a_delayed_run_is_not_hurried_by_a_message(self) -> None:
        self.start(start_at=NOW + 60)

        self.send()

        assert self.row().wake_at == NOW + 60

    def test_a_repeated_send_is_delivered_once(self) -> None:
        self.start()
        send = Send(to="r", message_id="m-1", name="m", body=b"1")
        self.one(send)

        assert self.one(send) == Duplicate(first="m-1")
        assert self.row().inbox == 1

    def test_a_repeated_send_is_known_after_its_message_was_taken(self) -> None:
        hold = self.held()
        send = Send(to="r", message_id="m-1", name="m", body=b"1")
        self.one(send)
        hold.write(consume=[1])

        assert self.one(send) == Duplicate(first="m-1")

    def test_a_repeated_send_is_known_after_the_run_ended(self) -> None:
        hold = self.held()
        send = Send(to="r", message_id="m-1", name="m", body=b"1")
        self.one(send)
        hold.write(status="completed", release=True)

        assert self.one(send) == Duplicate(first="m-1")

    def test_a_key_is_delivered_once(self) -> None:
        self.start()
        self.send(message_id="first", key="k")

        assert self.send(message_id="second", key="k") == Duplicate(first="first")
        assert self.row().inbox == 1

    def test_a_key_is_known_after_its_message_was_taken(self) -> None:
        hold = self.held()
        self.send(message_id="first", key="k")
        hold.write(consume=[1])

        assert self.send(key="k") == Duplicate(first="first")

    def test_a_key_is_that_of_its_run(self) -> None:
        self.start("a")
        self.start("b")
        self.send("a", key="k")

        assert self.send("b", key="k") == Sent(number=1)

    def test_a_key_may_look_like_ours(self) -> None:
        self.start()
        self.send(message_id="x")

        assert self.send(key="~id:x") == Sent(number=2)

    def test_keys_differ_by_code_point(self) -> None:
        self.start()
        self.send(key="K")

        assert self.send(key="k") == Sent(number=2)

    def test_messages_are_found_by_name_in_order(self) -> None:
        self.start()
        for name in "abcab":
            self.send(name=name)

        found = self.driver.inbox(self.row().seq, ("b", "a"), 10)

        assert [(message.name, message.seq) for message in found] == [("a", 1), ("b", 2), ("a", 4), ("b", 5)]

    def test_no_more_messages_are_given_than_asked_for(self) -> None:
        self.start()
        for _ in range(5):
            self.send()

        assert [message.seq for message in self.driver.inbox(self.row().seq, (), 2)] == [1, 2]

    def test_a_load_brings_the_first_messages(self) -> None:
        started = self.start()
        for _ in range(3):
            self.send()

        assert [message.seq for message in self.view(started.run).messages] == [1, 2, 3]

    def test_a_send_after_its_start_in_one_write_is_delivered(self) -> None:
        results = self.driver.write(
            [self.new_start(), Send(to="r", message_id="m", name="m", body=b"1")],
            NOW,
        )

        assert results[1] == Sent(number=1)

    def test_a_send_before_the_park_is_not_slept_through(self) -> None:
        hold = self.held()
        self.send()
        hold.write(status="sleeping", park=Park(wake_at=None, waiting=("m",)), seen=0)

        assert [claim.id for claim in self.claim().runs] == ["r"]

    def test_a_send_after_the_park_is_not_slept_through(self) -> None:
        self.parked(waiting=("m",))
        self.send()

        assert [claim.id for claim in self.claim().runs] == ["r"]
