"""Each question once, and how every engine is asked it.

An answer is a dict from a key (a day, or a day and a country) to a count; keys with a count of zero are left out, because
some engines list empty buckets and some do not. Two engines agree when their dicts are equal.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

EVENT = "Added to Cart"  # 5th of 20 names: 5.6 % of the events
ORDER = "Order Completed"  # the name of every event where all are orders
TARGETS = {"dau": 3.0, "by_country": 2.0, "by_country_users": 2.0}  # design.md §11, rollups off
TARGETS |= {"any_item": 1.0, "any_tag": 1.0, "ten_items": 1.0}  # issue 4: not slower


@dataclass(frozen=True)
class Question:
    name: str
    title: str
    keys: int  # leading columns of a row that form the key


EVENT_QUESTIONS = [
    Question("dau", "exact DAU, 90 days", 1),
    Question("by_country", "segmentation by day and country, one event, events", 2),
    Question("by_country_users", "segmentation by day and country, one event, users", 2),
]

ORDER_QUESTIONS = [
    Question("any_item", "orders a day with any item of a category above a price", 1),
    Question("any_tag", "orders a day with any item with any tag on sale, two lists deep", 1),
    Question("ten_items", "the same list named ten times", 1),
]
BOOTS = ["boots", "hats", "bags", "socks", "belts", "coats", "gloves", "scarves", "watches", "jackets"]


def questions(meta: dict) -> list[Question]:
    return ORDER_QUESTIONS if meta.get("orders") else EVENT_QUESTIONS


def where(question: Question, engine: str) -> str | None:
    """The condition on an order's items."""

    def any_item(item_is: str) -> str:
        return {
            "chdb": f"arrayExists(i -> {item_is}, items)",
            "duckdb": f"len(list_filter(items, lambda i: {item_is})) > 0",
            "footfall": f'any({item_is} for i in properties["items"])',
        }[engine]

    def member(name: str) -> str:
        return f'i["{name}"]' if engine == "footfall" else f"i.{name}"

    category, price, tags = member("category"), member("price"), member("tags")
    sale = {
        "chdb": f"arrayExists(t -> t = 'sale', {tags})",
        "duckdb": f"len(list_filter({tags}, lambda t: t = 'sale')) > 0",
        "footfall": f"any(t == 'sale' for t in {tags})",
    }
    if engine not in sale:
        return None
    return {
        "any_item": any_item(f"{category} = 'sneakers' and {price} > 450"),
        "any_tag": any_item(f"{price} > 450 and {sale[engine]}"),
        "ten_items": " or ".join(any_item(f"{category} = '{name}' and {price} > 480") for name in BOOTS),
    }.get(question.name)


def sql(question: Question, engine: str) -> str | None:
    """The question in the engine's own words; peers count the integer user."""
    day = {
        "chdb": "toDate(time)",
        "duckdb": "CAST(time AS DATE)",
        "datafusion": "date_trunc('day', time)",
        "footfall": "date_trunc('day', time)",
    }[engine]
    user = "user_id" if engine == "footfall" else "uid"
    country = "mp_country_code" if engine == "footfall" else "country"
    users = f"uniqExact({user})" if engine == "chdb" else f"count(DISTINCT {user})"
    only = f"WHERE event = '{EVENT}'"
    if question in ORDER_QUESTIONS:
        condition = None if engine == "footfall" else where(question, engine)
        return condition and f"SELECT {day} AS day, count(*) AS n FROM events WHERE event = '{ORDER}' AND ({condition}) GROUP BY 1"
    return {
        "dau": f"SELECT {day} AS day, {users} AS n FROM events GROUP BY 1",
        "by_country": f"SELECT {day} AS day, {country} AS c, count(*) AS n FROM events {only} GROUP BY 1, 2",
        "by_country_users": f"SELECT {day} AS day, {country} AS c, {users} AS n FROM events {only} GROUP BY 1, 2",
    }[question.name]


def segmentation(question: Question, meta: dict) -> dict | None:
    """Parameters of `GET /api/query/segmentation`, where that route can ask the question."""
    kinds = {"by_country": "general", "by_country_users": "unique"}
    last = date.fromisoformat(meta["from_date"]) + timedelta(days=meta["days"] - 1)
    days = {"from_date": meta["from_date"], "to_date": last.isoformat(), "unit": "day"}
    if question in ORDER_QUESTIONS:
        return days | {"event": ORDER, "type": "general", "where": where(question, "footfall")}
    if question.name not in kinds:
        return None
    by_country = {"on": 'properties["mp_country_code"]', "limit": 1000}
    return days | by_country | {"event": EVENT, "type": kinds[question.name]}


def answer_of_rows(question: Question, rows) -> dict[str, int]:
    """Rows of key columns and a count."""
    answer = {}
    for row in rows:
        key = "|".join(_text(part) for part in row[: question.keys])
        if row[question.keys]:
            answer[key] = int(row[question.keys])
    return answer


def answer_of_segmentation(question: Question, reply: dict) -> dict[str, int]:
    """The reply of the segmentation route: values by segment, then by day."""
    return {
        day if question.keys == 1 else f"{day}|{segment}": count
        for segment, days in reply["data"]["values"].items()
        for day, count in days.items()
        if count
    }


def _text(part) -> str:
    """Days come as dates, timestamps, text with or without a zone, or milliseconds."""
    if isinstance(part, (date, datetime)):
        return part.strftime("%Y-%m-%d")
    if isinstance(part, int):
        return datetime.fromtimestamp(part / 1000, tz=timezone.utc).strftime("%Y-%m-%d") if part > 10**11 else str(part)
    text = str(part)
    return text[:10] if len(text) > 10 and text[4] == "-" and text[7] == "-" else text


def difference(name: str, expected: dict, actual: dict) -> str | None:
    """Says where two answers differ, or None."""
    keys = sorted(key for key in expected.keys() | actual.keys() if expected.get(key) != actual.get(key))
    if not keys:
        return None
    shown = ", ".join(f"{key}: {expected.get(key, 0)} / {actual.get(key, 0)}" for key in keys[:5])
    return f"{name}: {len(keys)} of {len(expected)} counts differ ({shown})"
