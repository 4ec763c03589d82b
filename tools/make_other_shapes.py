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

OUT = Path(__file__).resolve().parent.parent / "data" / "other_shapes"
ROWS = 240

NAMES = ("Ada", "Ben", "Chidi", "Dora", "Emre", "Farah", "Gil", "Hana", "Ines", "Jun", "Kofi", "Lena")
BOOKS = (
    "the atlas",
    "two novels",
    "a cookbook",
    "the Latin grammar",
    "three comics",
    "a travel guide",
    "the big dictionary",
)
LIBRARY = {  # what a reader of a public library writes, by desk
    "loans": (
        "Can I keep {book} for another two weeks?",
        "Please extend my loan, I am not through with {book}.",
        "{book} is due on Friday and I am abroad. Is there a way to renew?",
        "I would like to borrow {book} longer.",
        "My renewal of {book} was refused although nobody waits for it.",
    ),
    "cards": (
        "I lost my card on the bus.",
        "The gate does not read my card any more.",
        "How do I get a card for my son?",
        "My card has expired, what do I bring along?",
        "Somebody found my wallet, but the card is not in it.",
    ),
    "fees": (
        "Why do I owe 4 euros for {book}?",
        "I paid the reminder in March and it is still on my account.",
        "Is there a discount on the yearly fee for students?",
        "You charged me for {book}, which I returned in time.",
        "Can I pay what I owe by transfer?",
    ),
    "rooms": (
        "Is the group room free on Saturday?",
        "We are six and need a table with a screen.",
        "I booked the quiet room for three o'clock and it was taken.",
        "How long may one person use the music room?",
        "Please cancel our room on Thursday.",
    ),
    "events": (
        "Is the reading on Tuesday sold out?",
        "Do I have to sign up for the repair evening?",
        "Will the storytelling hour be in French too?",
        "My daughter is too young for the coding club by a month.",
        "Where does the tour of the stacks begin?",
    ),
}
GREETINGS = ("", "Hello, ", "Good morning. ", "Hi there! ", "To whom it may concern: ")
CLOSINGS = (
    "",
    " Thank you.",
    " Best, {name}",
    " Regards, {name}",
    " I am at the desk until noon.",
    " Please call me back.",
)

BIKES, JOBS = (
    ("road", "city", "cargo", "mountain", "child's"),
    ("brakes", "chain", "gears", "lights", "a flat tyre", "the saddle"),
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
BOOKINGS = (
    "My {bike} bike needs help with {job}. Is {day} possible?{ticket}",
    "{day} would suit me: {job} on a {bike} bike.{ticket}",
    "Could you see to {job} on my {bike} bike, best on {day}?{ticket}",
    "It is {job} again. The {bike} bike, and I can come {day}.{ticket}",
    "I have a {bike} bike here, {job} to be done.{ticket} I am free on {day}.",
)

TROUBLES = {
    "lift broken": "The lift is out of order.",
    "no hot water": "There is no hot water at the moment.",
    "bins full": "The bins are full.",
    "front door jams": "The front door does not open properly.",
    "garage light out": "The light in the garage has failed.",
    "water off for repair": "The water has to be turned off for a repair.",
}
HELPERS = {
    "plumber": "A plumber",
    "technician": "A technician",
    "caretaker": "The caretaker",
    "city": "The city service",
}


def library(draw: random.Random) -> list[dict]:
    """Messages and the desk that they go to; `visitor` wrote several."""
    rows = []
    for number in range(ROWS):
        desk = draw.choice(list(LIBRARY))
        body = draw.choice(LIBRARY[desk]).format(book=draw.choice(BOOKS))
        name = draw.choice(NAMES)
        text = draw.choice(GREETINGS) + body + draw.choice(CLOSINGS).format(name=name)
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
        bike, job, day = draw.choice(BIKES), draw.choice(JOBS), draw.choice(DAYS)
        ticket = f"{draw.randrange(1000, 9999)}" if draw.random() < 0.6 else None
        text = draw.choice(BOOKINGS).format(bike=bike, job=job, day=day, ticket=f" Ticket {ticket}." if ticket else "")
        record = {"bike": bike, "job": job.removeprefix("a ").removeprefix("the "), "day": day, "ticket": ticket}
        chat = [
            ("system", "You book repairs."),
            ("user", draw.choice(GREETINGS) + text),
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
            draw.choice(list(TROUBLES)),
            draw.choice(list(HELPERS)),
            draw.choice(DAYS),
            draw.randrange(1, 40),
        )
        parts = [trouble, f"house {house}", f"{helper} {day.lower()}"]
        draw.shuffle(parts)
        notice = f"Dear residents of house {house}, {TROUBLES[trouble]} {HELPERS[helper]} will come on {day}."
        notice += " We thank you for your patience."
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
