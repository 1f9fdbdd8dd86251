"""The coders of a function, whatever its annotations are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowkit.codec import coder, signature_coders
from tests.codec.values import Order, Receipt, same

if TYPE_CHECKING:
    from nowhere import Missing  # type: ignore[import-not-found]  # that is the point


def charge(order: Order, *rest: Receipt, note=None, **more: int) -> Receipt:  # type: ignore[no-untyped-def]
    raise NotImplementedError


def partly(order: Order, missing: Missing, broken: 1 / 0) -> list[Missing]:  # type: ignore[valid-type]
    raise NotImplementedError


def test_each_parameter_and_the_result_have_their_coder() -> None:
    coders = signature_coders(charge)

    assert coders.parameters["order"] is coder(Order)
    assert coders.parameters["rest"] is coder(tuple[Receipt, ...])
    assert coders.parameters["note"] is coder()
    assert coders.parameters["more"] is coder(dict[str, int])
    assert coders.returns is coder(Receipt)


def test_an_annotation_that_cannot_be_resolved_is_tagged_and_costs_the_others_nothing() -> None:
    coders = signature_coders(partly)

    assert coders.parameters["order"] is coder(Order)
    assert coders.parameters["missing"] is coders.parameters["broken"] is coders.returns is coder()


def test_local_classes_are_found_in_the_closure_or_the_given_names() -> None:
    class Inside:
        pass

    def used(value: Inside) -> Any:
        return Inside()

    def unused(value: Inside) -> Any: ...

    assert signature_coders(used).parameters["value"] is coder(Inside)
    assert signature_coders(unused).parameters["value"] is coder()
    assert signature_coders(unused, localns=locals()).parameters["value"] is coder(Inside)


def test_none_is_an_annotation() -> None:
    def nothing() -> None: ...

    assert signature_coders(nothing).returns is coder(type(None))
    assert coder(None).copy(None) is None
    assert same(coder(None).copy((1,)), (1,))


def test_a_builtin_without_a_signature_has_no_parameters() -> None:
    assert signature_coders(dict).returns is coder()
