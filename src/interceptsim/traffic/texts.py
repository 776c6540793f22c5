"""What ordinary senders' messages say: another template of the sender's class for each.

A template's name, link and score are fixed by the campaign and its number alone, as `lines.write_template` finds them
for a single one. Here they are drawn for a whole batch, in loops that a processor runs on many at once.
"""

from __future__ import annotations

import numpy as np

from interceptsim.attempts import Rows
from interceptsim.compiled import Record, Scalar, Table, kernel
from interceptsim.randomness import draw_all, normal_quantiles
from interceptsim.traffic.lines import template_of, template_says
from interceptsim.traffic.records import Draws, Supply

__all__ = ["note_text", "write_texts"]


@kernel
def note_text(draws: Draws, m: Scalar, row: Scalar, line: Record, group: Record, word: Scalar) -> None:
    """Note as the `m`th text that the message in a row says what a 32-bit draw picks."""
    at = np.uint64(m)
    draws.delayed[at] = row
    draws.stream[at] = group.template_stream
    draws.entity[at] = line.campaign
    draws.ordinal[at] = template_of(group, word)


@kernel
def write_texts(lines: Table, groups: Table, supply: Supply, rows: Rows, m: Scalar, draws: Draws) -> None:
    """Write content and link of the `m` messages noted into their rows, and add their templates' scores."""
    row, name, score, carries, link = draws.delayed, draws.w0, draws.w1, draws.w2, draws.w3
    draw_all(supply.key[0], supply.key[1], draws.stream, draws.entity, draws.ordinal, m, name, score, carries, link)
    z = draws.gap
    normal_quantiles(score, m, z)
    for k in range(m):
        r = np.uint64(row[k])
        group = groups[np.uint64(lines[np.uint64(rows.line[r])].group)]
        rows.content[r], rows.link[r], score_of = template_says(group, name[k], carries[k], link[k], z[k])
        rows.text_score[r] += score_of
