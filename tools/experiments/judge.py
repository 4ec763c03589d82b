"""A judge is measured first: `smol` judges pairs of answers whose better one is known.

Each pair is a customer's message of the brand voice's test set, its reply by the style guide, and the same reply with
one to three points of the guide broken. The guide is checked by code, so nobody's taste is in the labels. The better
reply stands as often under a as under b, and is as often the longer as the shorter one. `smol` answers behind
`transformers serve`, a real server, through the same `Endpoint` and `ask_judge` that judge with any other model;
each pair in both orders. Some four minutes on one core that has nothing else to do.
"""

import json
from pathlib import Path

from record import ROOT, WORK, Point, done, write_results

from ftlab.data.schema import read_chat
from ftlab.evaluation.guide import points_of, read_guide, word_count
from ftlab.evaluation.judge import ask_judge
from ftlab.files import whole_file

FOLDER, RECORD = WORK / "judge", ROOT / "data" / "recorded" / "judge"
VOICE = ROOT / "data" / "brand_voice"
PAIRS = 48
LONGER = " Thank you very much for your message and for your patience with us in this matter."
INSTRUCTION = """Which of two replies to a customer keeps a shop's style guide better?

The guide: the reply opens with "Ahoy" and the customer's first name. It names the thing and the order number. It \
closes with "Fair winds from the Harbour." It never says unfortunately, regret, inconvenience or policy.

Message:
{request}

Reply 1:
{first}

Reply 2:
{second}

Reply with one word: 1, 2 or tie."""


def pairs() -> list[dict]:
    """Pairs with the better side by the guide, the number of points that each reply keeps, and the longer side."""
    guide, made = read_guide(VOICE / "guide.yaml"), []
    for number, row in enumerate(read_chat(VOICE / "test.jsonl")[:PAIRS]):
        good, facts = row["messages"][-1]["content"], row["facts"]
        poor = broken(good, facts, 1 + number % 3)
        if number // 2 % 2:
            good = good.replace("Fair winds", f"{LONGER.strip()} Fair winds")  # inside, where no point forbids it
        else:
            poor = poor.rstrip() + LONGER
        sides = dict(zip("ab" if number % 2 else "ba", (good, poor), strict=True))
        kept = {side: points_of(guide, text, facts) for side, text in sides.items()}
        assert kept["a"] != kept["b"]
        longer = max(sides, key=lambda side: word_count(sides[side]))
        better = max(kept, key=kept.get)
        made.append({"id": row["id"], "request": row["messages"][-2]["content"], **sides, "better": better,
                     "points": kept, "longer": longer})  # fmt: skip
    return made


def broken(reply: str, facts: dict, how_many: int) -> str:
    """A reply without its opening, without its closing, and without the order's number: so many of these."""
    reply = reply.replace(f"Ahoy {facts['name']}!", f"Dear {facts['name']},")
    reply = reply.replace("Fair winds from the Harbour.", "Kind regards.") if how_many > 1 else reply
    return reply.replace(f" of order {facts['number']}", "") if how_many > 2 else reply


def smol(folder: Path) -> dict:
    """`smol`'s votes; answers that came before an interruption are kept."""
    from ftlab.baselines.endpoint import Endpoint
    from ftlab.hosted.stand_in_model import ServedModel

    served, chosen = ServedModel("smol"), pairs()
    try:
        served.wait(1200)
        free = {"usd_per_mtok_in": 0, "usd_per_mtok_out": 0, "max_usd": 0, "concurrency": 1, "timeout": 600}
        endpoint = Endpoint(f"{served.url}/v1", served.folder, **free, cache=folder / "cache")
        votes = ask_judge(endpoint, chosen, INSTRUCTION, max_new_tokens=4, confirm=True)
    finally:
        served.stop()
    rows = [pair | {"verdict": verdict, "forth": forth, "back": back, "said": said}
            for pair, verdict, forth, back, said
            in zip(chosen, votes.verdicts, votes.forth, votes.back, votes.said, strict=True)]  # fmt: skip
    with whole_file(folder / "votes.jsonl") as file:
        file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    return {"pairs": len(rows), "instruction": INSTRUCTION}


def points() -> list[Point]:
    return [Point("smol", smol)]


def publish() -> None:
    """Write data/recorded/judge: votes.jsonl and results.json."""
    found = done(FOLDER / "smol")
    made = {"smol": found} if found else {}
    if (votes := FOLDER / "smol" / "votes.jsonl").exists():
        with whole_file(RECORD / "votes.jsonl") as file:
            file.write(votes.read_bytes())
    write_results("judge", RECORD, made, ["smol"], {"points": made})
