"""The start form over HTTP for parameters that have parts: filled in, changed by its buttons, and refused at the right field."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.inspector.browser import watched
from tests.inspector.forms import Buyer, Code, Item, Order, Point, Size
from tests.inspector.looks import wrong_in_all_looks
from tests.inspector.served import SAME_ORIGIN, Served, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

START = "/workflows/ship/start"
FIELDS = {
    "id": "s-1", "a.order.id": "7", "n.order.items": "1", "a.order.items.0.sku": "tea", "a.order.items.0.count": "2",
    "a.order.items.0.when": "2026-03-01T14:00:00Z", "a.order.items.0.size": "L", "a.order.items.0.fragile": "on",
    "a.order.place.0": "3", "a.order.place.1": "4.5", "a.order.extra": "[1]", "a.buyer.name": "Ada", "a.buyer.age": "36",
    "n.buyer.emails": "1", "a.buyer.emails.0": "ada@example.org", "a.level": "1",
}  # fmt: skip


@pytest.fixture
def code(tmp_path: Path) -> Iterator[Code]:
    made = Code(tmp_path / "forms.db")
    with made.flowkit:
        yield made


@pytest.fixture
def served(tmp_path: Path, code: Code) -> Iterator[Served]:
    with serving(tmp_path / "forms.db", code=code) as found:
        yield found


def faults(page: str) -> dict[str, str]:
    """The faults of a page by the field at which they stand."""
    found = re.findall(r'<span class="fault" id="([^"]*)-fault">.*?</svg>(.*?)</span>', page, re.DOTALL)
    return {unescape(name): unescape(text) for name, text in found}


def test_what_is_filled_in_is_what_the_run_gets(served: Served, code: Code) -> None:
    reply = served.post(START, **FIELDS)

    assert (reply.status, reply.headers["location"]) == (303, "/runs/s-1")
    order = Order(
        id=7, place=Point(3, 4.5), extra=[1],
        items=[Item("tea", 2, datetime.datetime(2026, 3, 1, 14, tzinfo=datetime.UTC), Size.LARGE, True)],
    )  # fmt: skip
    assert code.input_of("s-1")[0] == (order, Buyer(name="Ada", age=36, emails=["ada@example.org"]), None, None, 1)


def test_a_fault_stands_at_the_field_that_it_is_about(served: Served, code: Code) -> None:
    page = served.post(START, **FIELDS | {"a.order.items.0.when": "tomorrow"})

    assert page.status == 422
    assert list(faults(page.text)) == ["a.order.items.0.when"]
    assert 'value="tomorrow"' in page.text
    assert 'value="tea"' in page.text
    assert code.flowkit.driver.get("s-1") is None


def test_a_pydantic_model_names_each_of_its_faults(served: Served) -> None:
    page = served.post(START, **FIELDS | {"a.buyer.age": "12", "a.order.id": "many"})

    found = faults(page.text)
    assert sorted(found) == ["a.buyer.age", "a.order.id"]
    assert "greater than or equal to 18" in found["a.buyer.age"]


def test_the_path_of_a_fault_is_told_in_json(served: Served) -> None:
    body = b'{"id": "s-1", "order": {"id": 7, "items": [{"sku": 1}], "place": [1]}, "buyer": {"name": "Ada", "age": 36}}'

    reply = served.ask(f"{START}.json", method="POST", headers=[("Content-Type", "application/json"), *SAME_ORIGIN], body=body)

    assert reply.status == 422
    assert [(fault["field"], fault["path"]) for fault in reply.json()["faults"]] == [("order", "items[0].sku")]


def test_json_that_leaves_a_parameter_out_leaves_it_to_its_default(served: Served, code: Code) -> None:
    body = b'{"id": "s-1", "order": {"id": 7, "items": [], "place": [1]}, "buyer": {"name": "Ada", "age": 36}}'

    reply = served.ask(f"{START}.json", method="POST", headers=[("Content-Type", "application/json"), *SAME_ORIGIN], body=body)

    assert reply.status == 200
    assert sorted(code.wishes[0].arguments) == ["buyer", "order"]


def test_a_button_adds_an_item_and_keeps_what_is_filled_in(served: Served, code: Code) -> None:
    page = served.post(START, do="add order.items", tags="vip", **FIELDS)

    assert page.status == 200
    assert 'name="a.order.items.1.sku" value="" autocomplete="off" autofocus' in page.text
    assert 'name="a.order.items.0.sku" value="tea"' in page.text
    assert 'name="tags" value="vip"' in page.text
    assert not code.wishes


def test_a_box_that_was_unchecked_stays_so_when_the_form_comes_back(served: Served) -> None:
    fields = {name: text for name, text in FIELDS.items() if name != "a.order.items.0.fragile"}

    page = served.post(START, do="add order.items", **fields).text

    assert re.search(r'name="a.order.items.0.fragile" value="on">', page)


def test_a_button_of_a_form_that_cannot_be_says_why(served: Served) -> None:
    page = served.post(START, do="fields order", **{"j.order": "[1]"}).text

    assert "does not have the shape of order" in page
    assert ">[1]</textarea>" in page


def test_a_button_is_no_way_around_the_rules_for_a_post(served: Served) -> None:
    assert served.post(START, headers=[("Sec-Fetch-Site", "cross-site")], do="add order.items").status == 403


def test_a_form_is_filled_from_a_run_in_all_its_parts(served: Served) -> None:
    served.post(START, **FIELDS)

    page = served.ask(f"{START}?from=s-1").text

    assert 'name="a.order.items.0.sku" value="tea"' in page
    assert 'name="a.order.place.1" inputmode="decimal" value="4.5"' in page
    assert 'name="a.buyer.emails.0" value="ada@example.org"' in page


def test_text_that_is_hostile_stays_text_in_a_form_that_comes_back(served: Served) -> None:
    hostile = {
        "n.order.prices": "1",
        "m.order.prices": "1",
        "a.order.prices.0.k": '"><script>',
        "a.order.prices.0.v": "</textarea>",
    }

    page = served.post(START, do="add order.prices", **FIELDS | hostile).text

    assert '"><script>' not in page
    assert "&#34;&gt;&lt;script&gt;" in page


@pytest.mark.browser
@pytest.mark.timeout(120)
@pytest.mark.parametrize("scripts", [True, False])
def test_a_person_fills_in_lists_and_parts_and_starts(browser: Browser, served: Served, code: Code, scripts: bool) -> None:
    with watched(browser, served.base, java_script_enabled=scripts) as seen:
        page = seen.page
        page.goto(served.base + START)
        page.locator('[name="a.order.id"]').fill("7")
        page.get_by_role("button", name="Add to items").click()
        page.locator('[name="a.order.items.0.sku"]').fill("tea")
        page.get_by_role("button", name="Add to items").click()
        page.locator('[name="a.order.items.1.sku"]').fill("cake")
        page.get_by_role("button", name="Remove items 1").click()
        page.locator('[name="a.order.place.0"]').fill("3")
        page.locator('[name="a.buyer.name"]').fill("Ada")
        page.locator('[name="a.buyer.age"]').fill("12")
        page.locator('[name="id"]').fill("s-1")
        page.get_by_role("button", name="Start", exact=True).last.click()
        page.locator('[id="a.buyer.age-fault"]').wait_for()
        page.locator('[name="a.buyer.age"]').fill("36")
        page.locator('[name="a.buyer.age"]').press("Enter")
        page.wait_for_url("**/runs/s-1")

        assert not [each for each in seen.errors if "422" not in each]

    (order, buyer, *_), _ = code.input_of("s-1")
    assert ([item.sku for item in order.items], buyer.age) == (["cake"], 36)


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_the_form_is_accessible_at_every_width(browser: Browser, axe: str, served: Served) -> None:
    with watched(browser, served.base) as seen:
        page = seen.page
        page.goto(served.base + START)
        page.get_by_role("button", name="Add to items").click()
        page.get_by_role("button", name="Give gift").click()
        page.get_by_role("button", name="Give as JSON for buyer").click()
        page.locator('[name="id"]').fill("x/")
        page.locator('[name="a.order.id"]').fill("x")
        page.locator('[name="a.order.place.0"]').fill("3")
        page.get_by_role("button", name="Start", exact=True).last.click()
        page.locator(".fault").first.wait_for()
        found = wrong_in_all_looks(seen, axe, "form")
        found += [each for each in seen.errors if "422" not in each] + seen.foreign

    assert not found
