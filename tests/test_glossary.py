"""The glossary: sorted, each term once, every place that it names exists, every link to it finds its term."""

import re
from collections import Counter
from pathlib import Path

import jupytext
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
GLOSSARY = (NOTEBOOKS / "GLOSSARY.md").read_text(encoding="utf-8")
SOURCES = sorted((NOTEBOOKS / "src").glob("*.py"))
LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")


def entries(text):
    """(term, its text) of every `## term`, in the order of the file."""
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return list(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))


def anchor(term):
    """As GitHub makes it: lower case, signs dropped, a hyphen for a space."""
    return re.sub(r"[^\w\- ]", "", term.lower()).replace(" ", "-")


def prose(path):
    """The markdown cells of a notebook's source as one text."""
    cells = jupytext.read(path, fmt="py:percent").cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def sections(texts):
    return {name: set(re.findall(r"^#+ (.+)$", text, re.MULTILINE)) for name, text in texts.items()}


def broken(text, known):
    """Links of the glossary that lead to no section; `known` maps the names of notebooks to their headings."""
    wrong = []
    for label, target in LINK.findall(text):
        number, _, section = " ".join(label.split()).partition(" ")
        name, _, fragment = target.partition(".ipynb#")
        if not name.startswith(number) or section not in known.get(name, ()) or fragment != section.replace(" ", "-"):
            wrong.append(f"{label} -> {target}")
    return wrong


TERMS = entries(GLOSSARY)
TEXTS = {path.stem: prose(path) for path in SOURCES}


def test_terms_are_sorted_and_stand_once():
    names = [term.lower() for term, _ in TERMS]
    assert names == sorted(names)
    assert len(set(names)) == len(names) > 60
    assert len({anchor(term) for term, _ in TERMS}) == len(names)


@pytest.mark.parametrize(("term", "text"), TERMS, ids=[term for term, _ in TERMS])
def test_an_entry_is_a_short_text_and_perhaps_a_line_of_places(term, text):
    said, *places = text.split("\n\n")
    assert 5 <= len(said.split()) <= 55, f"{term}: {len(said.split())} words"
    assert said.endswith((".", ".)"))
    assert not LINK.search(said)
    assert len(places) <= 1
    assert all(place.startswith("→ [") and place.endswith(")") for place in places)


def test_every_place_named_exists():
    assert len(LINK.findall(GLOSSARY)) > 50
    assert broken(GLOSSARY, sections(TEXTS)) == []


@pytest.mark.parametrize(
    "text",
    [
        "[01 No such section](01_a.ipynb#No-such-section)",
        "[01 One](02_b.ipynb#One)",
        "[01 One](01_a.ipynb#Two)",
        "[03 One](03_c.ipynb#One)",
    ],
)
def test_a_wrong_place_is_noticed(text):
    known = {"01_a": {"One", "Two"}, "02_b": {"One"}}
    assert broken(text, known) == [text[1:].replace("](", " -> ").rstrip(")")]
    assert broken("[01 One](01_a.ipynb#One)", known) == []


@pytest.mark.parametrize("name", TEXTS)
def test_links_from_a_notebook_lead_to_a_term_and_each_only_once(name):
    linked = Counter(re.findall(r"\]\(GLOSSARY\.md#([^)]+)\)", TEXTS[name]))
    assert set(linked) <= {anchor(term) for term, _ in TERMS}
    assert max(linked.values(), default=1) == 1, "link the first use only"


def test_notebooks_link_to_the_glossary():
    assert sum("](GLOSSARY.md#" in text for text in TEXTS.values()) >= 2
