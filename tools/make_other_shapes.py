"""Write data/other_shapes: three small files as other people have them, for `ftlab project` and notebook 16.

    python tools/make_other_shapes.py            write them
    python tools/make_other_shapes.py --check    exit 1 if one differs

The same seed gives the same bytes. The fields have other names than ours, on purpose.
"""

import json
import random
import sys
from pathlib import Path

from generated import jsonl, write_or_check
from words import read_words

OUT = Path(__file__).resolve().parent.parent / "data" / "other_shapes"
ROWS = 240
WORDS = read_words("other_shapes")


def library(draw: random.Random) -> list[dict]:
    """Messages and the desk that they go to; `visitor` wrote several."""
    rows = []
    for number in range(ROWS):
        desk = draw.choice(list(WORDS.library))
        body = draw.choice(WORDS.library[desk]).format(book=draw.choice(WORDS.books))
        name = draw.choice(WORDS.names)
        text = draw.choice(WORDS.greetings) + body + draw.choice(WORDS.closings).format(name=name)
        rows.append(
            {
                "nr": number + 1,
                "text": text[0].upper() + text[1:],
                "category": desk,
                "visitor": f"v{draw.randrange(90):02}",
            }
        )
    return rows


def bikes(draw: random.Random) -> list[dict]:
    """Chats with metadata; the answer is a record."""
    rows = []
    for number in range(ROWS):
        bike, job, day = draw.choice(WORDS.bikes), draw.choice(WORDS.jobs), draw.choice(WORDS.days)
        ticket = f"{draw.randrange(1000, 9999)}" if draw.random() < 0.6 else None
        given = f" Ticket {ticket}." if ticket else ""
        text = draw.choice(WORDS.bookings).format(bike=bike, job=job, day=day, ticket=given)
        record = {"bike": bike, "job": job.removeprefix("a ").removeprefix("the "), "day": day, "ticket": ticket}
        chat = [
            ("system", "You book repairs."),
            ("user", draw.choice(WORDS.greetings) + text),
            ("assistant", json.dumps(record)),
        ]
        turns = [{"role": role, "content": content} for role, content in chat]
        rows.append(
            {
                "uuid": f"b-{number:04}",
                "messages": turns,
                "metadata": {"channel": draw.choice(("mail", "form")), "shop": draw.choice("NESW")},
            }
        )
    return rows


def notices(draw: random.Random) -> list[dict]:
    """Notes of a caretaker, and the notice that hangs in the hall."""
    rows = []
    for _ in range(ROWS):
        trouble, helper, day, house = (
            draw.choice(list(WORDS.troubles)),
            draw.choice(list(WORDS.helpers)),
            draw.choice(WORDS.days),
            draw.randrange(1, 40),
        )
        parts = [trouble, f"house {house}", f"{helper} {day.lower()}"]
        draw.shuffle(parts)
        notice = f"Dear residents of house {house}, {WORDS.troubles[trouble]} {WORDS.helpers[helper]} will come on "
        notice += f"{day}. We thank you for your patience."
        rows.append({"prompt": draw.choice((", ", "; ", " - ")).join(parts), "completion": notice})
    return rows


def make_files() -> dict[str, str]:
    """The three files, each with a seed of its own."""
    return {
        f"{make.__name__}.jsonl": jsonl(make(random.Random(seed)))
        for seed, make in enumerate((library, bikes, notices))
    }


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, OUT, make_files))
