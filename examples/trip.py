"""A trip: flight, hotel and car are booked at the same time, and if one cannot be had, the others are given back.

    flowkit run examples/trip.py:trip '{"traveller": "Ada", "city": "Lisbon"}'
    flowkit run examples/trip.py:trip '{"traveller": "Ada", "city": "Lisbon", "cars_left": 0}'

The second run fails. Each booking names its own undoing, and flowkit calls those of the bookings that were made, newest
first, each recorded and tried again like any step. This is called a saga.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowkit import CriticalError, checkpoint, join, step, workflow


@dataclass(frozen=True)
class Trip:
    """Who wants to go where."""

    traveller: str
    city: str
    cars_left: int = 3


def cancel_flight(booking: str) -> None:
    """Undo `book_flight`."""
    print(f"cancelled {booking}")


def cancel_hotel(booking: str) -> None:
    """Undo `book_hotel`."""
    print(f"cancelled {booking}")


def cancel_car(booking: str) -> None:
    """Undo `book_car`."""
    print(f"cancelled {booking}")


def booked(what: str, trip: Trip) -> str:
    """Stands for a call to a booking service."""
    booking = f"{what} to {trip.city} for {trip.traveller}"
    print(f"booked {booking}")
    return booking


@step(rollback=cancel_flight)
def book_flight(trip: Trip) -> str:
    """A seat."""
    return booked("flight", trip)


@step(rollback=cancel_hotel)
def book_hotel(trip: Trip) -> str:
    """A room."""
    return booked("hotel", trip)


@step(rollback=cancel_car)
def book_car(trip: Trip) -> str:
    """A car, if there is one: `CriticalError` says that trying again cannot help."""
    if trip.cars_left == 0:
        raise CriticalError(f"no cars left in {trip.city}")
    return booked("car", trip)


@workflow
def trip(plan: Trip) -> dict[str, str]:
    """Book all three, or none."""
    checkpoint("nothing booked")
    return join(
        "bookings",
        flight=lambda: book_flight(plan),
        hotel=lambda: book_hotel(plan),
        car=lambda: book_car(plan),
    )
