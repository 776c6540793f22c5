"""People and response policies drawn at random, for tests of the response and of both engines."""

from __future__ import annotations

from random import Random
from typing import Any

PEOPLE: dict[str, Any] = {
    "voice_engaged_ratio": 0.1,
    "sms_engaged_ratio": 0.1,
    "internet": "0/year",
    "report_ratio": 0.6,
    "report_delay": {"minimum": "1min", "mean": "5h"},
    "fatigue": 0.0,
    "age_bands": [{"id": "young", "share": 0.6}, {"id": "old", "share": 0.4, "susceptibility": 0.5}],
    "types": [
        {
            "id": "one",
            "share": 0.7,
            "grooming": {"minimum": "10min", "mean": "10h"},
            "gap": {"mean": "8h"},
            "transfers": 3,
            "doubt_ratio": 0.3,
            "mean_loss_yuan": 10_000,
        },
        {
            "id": "two",
            "share": 0.3,
            "susceptibility": 0.8,
            "grooming": {"minimum": "1h", "median": "1d", "sigma": 0.8},
            "gap": {"minimum": "1h"},
            "transfers": 1.5,
            "doubt_ratio": 0.2,
            "mean_loss_yuan": 50_000,
            "heeding": 0.7,
        },
    ],
}


def answers(r: Random, *, ties: bool = False) -> list[dict[str, Any]]:
    """Some of the response policies, drawn at random, with few staff; with `ties` their delays are constant or none."""
    few = lambda *delays: r.choice(delays) if not ties else r.choice(["0s", "10min", "1h"])  # noqa: E731
    hours = lambda: {"opens": (opens := r.choice([0, 8, 13])), "closes": r.choice([opens + 2, 22, 24])}  # noqa: E731
    tables: list[dict[str, Any]] = [
        {
            "kind": "warn-12381",
            "delay": few({"minimum": "5s", "mean": "20s"}, {"mean": "2h"}, "0s"),
            "heed_ratio": r.choice([0.3, 1.0]),
            "read_ratio": r.choice([0.5, 1.0]),
        },
        {
            "kind": "dispatch-by-tier",
            "delay": few({"minimum": "5min", "mean": "25min"}, {"mean": "3h"}, "0s"),
            "internet_delay": few({"mean": "5h"}, "0s"),
            "internet_ratio": 0.7,
            "engaged_high_ratio": 0.7,
            "engaged_medium_ratio": 0.2,
            "high_ratio": 0.1,
        },
        {
            "kind": "call-96110",
            "agents": r.choice([1, 2, 20]),
            "talk": few({"minimum": "60s", "mean": "1h"}, "10min"),
            "redial": r.choice(["0s", "10min", "2h"]),
            "heed_ratio": r.choice([0.2, 0.8]),
            "patience": r.choice(["3h", "3d"]),
            **hours(),
        },
        {
            "kind": "visit-in-person",
            "teams": r.choice([1, 40, 400]),
            "visit": few({"minimum": "45min", "mean": "75min"}, "30min"),
            "again": r.choice(["10min", "5h", "1d"]),
            "visits": 3,
            "heed_ratio": r.choice([0.2, 0.8]),
            "patience": r.choice(["3h", "3d"]),
            **hours(),
        },
        {"kind": "suspend-subscriber", "urgent_ratio": 0.5, "delay": few({"minimum": "10min", "mean": "50min"}, "0s")},
        {
            "kind": "freeze-transfers",
            "clerks": r.choice([1, 3]),
            "work": few({"minimum": "10min", "mean": "1h"}, "0s"),
            "half_life": "10h",
            "patience": r.choice(["1h", "3d"]),
        },
        {"kind": "hold-suspicious-transfers", "false_holds": 2.3},
        {"kind": "alert-in-app", "delay": r.choice(["0s", "1h"])},
        {"kind": "take-down-sites"},
        {"kind": "remind-overseas-call", "since": "2025-02-01"},
        {"kind": "raise-awareness", "since": "2025-01-15", "half_life": "5d"},
    ]
    return [table for table in tables if r.random() < 0.8]


def fallible(r: Random, *, ties: bool = False) -> dict[str, Any]:
    """People who readily fall for fraud."""
    types = [dict(kind) for kind in PEOPLE["types"]]
    if ties:
        types[0] |= {"grooming": r.choice(["0s", "10min", "1h"]), "gap": r.choice(["0s", "10min"])}
        types[1] |= {"grooming": "1h", "gap": "1h"}
    changes = {
        "internet": r.choice(["0/year", "2e4/year"]),
        "fatigue": r.choice([0.0, 0.1]),
        "reports_feed_lists": r.choice([True, True, False]),
        "report_delay": r.choice(["0s", "10min", "3h"]) if ties else PEOPLE["report_delay"],
    }
    return {**PEOPLE, "types": types, **changes}
