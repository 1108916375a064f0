"""Each question once, and how every engine is asked it.

An answer is a dict from a key (a day, or a day and a country) to a count; keys with a count of zero are left out, because
some engines list empty buckets and some do not. Two engines agree when their dicts are equal.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

EVENT = "Added to Cart"  # 5th of 20 names: 5.6 % of the events
TARGETS = {"dau": 3.0, "by_country": 2.0, "by_country_users": 2.0}  # design.md §11, rollups off


@dataclass(frozen=True)
class Question:
    name: str
    title: str
    keys: int  # leading columns of a row that form the key


QUESTIONS = [
    Question("dau", "exact DAU, 90 days", 1),
    Question("by_country", "segmentation by day and country, one event, events", 2),
    Question("by_country_users", "segmentation by day and country, one event, users", 2),
]


def sql(question: Question, engine: str) -> str:
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
    where = f"WHERE event = '{EVENT}'"
    return {
        "dau": f"SELECT {day} AS day, {users} AS n FROM events GROUP BY 1",
        "by_country": f"SELECT {day} AS day, {country} AS c, count(*) AS n FROM events {where} GROUP BY 1, 2",
        "by_country_users": f"SELECT {day} AS day, {country} AS c, {users} AS n FROM events {where} GROUP BY 1, 2",
    }[question.name]


def segmentation(question: Question, meta: dict) -> dict | None:
    """Parameters of `GET /api/query/segmentation`, where that route can ask the question."""
    kinds = {"by_country": "general", "by_country_users": "unique"}
    if question.name not in kinds:
        return None
    last = date.fromisoformat(meta["from_date"]) + timedelta(days=meta["days"] - 1)
    return {
        "event": EVENT,
        "from_date": meta["from_date"],
        "to_date": last.isoformat(),
        "type": kinds[question.name],
        "unit": "day",
        "on": 'properties["mp_country_code"]',
        "limit": 1000,
    }


def answer_of_rows(question: Question, rows) -> dict[str, int]:
    """Rows of key columns and a count."""
    answer = {}
    for row in rows:
        key = "|".join(_text(part) for part in row[: question.keys])
        if row[question.keys]:
            answer[key] = int(row[question.keys])
    return answer


def answer_of_segmentation(reply: dict) -> dict[str, int]:
    """The reply of the segmentation route: values by segment, then by day."""
    return {
        f"{day}|{segment}": count
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
