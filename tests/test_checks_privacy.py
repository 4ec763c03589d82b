"""Private data is found by its form, shown masked only, and masked without breaking JSON."""

import json
import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftlab.checks.privacy import find_private, mask_private, new_memo, spans
from ftlab.data.findings import Row, codes
from ftlab.data.schema import check_chat
from ftlab.models import data_folder

RANDOM = random.Random(0)


def letters(size, alphabet=string.ascii_letters + string.digits):
    """Random text with at least one digit, one capital and one small letter."""
    return "a7Q" + "".join(RANDOM.choices(alphabet, k=size - 3))


def row(user, answer="Thank you."):
    return Row({"messages": [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]}, "f", 7)


# text with {} where the private piece stands: (code, text, piece); made here, so no scanner sees a key in this file
FOUND = {
    "openai": ("secret", "use {} please", "sk-" + letters(40)),
    "openai project": ("secret", "use {}.", "sk-proj-" + letters(48)),
    "stripe": ("secret", "{}", "sk_live_" + letters(24)),
    "aws": ("secret", "id {} here", "AKIA" + letters(16, string.ascii_uppercase).upper()),
    "github": ("secret", "git clone with {}", "ghp_" + letters(36)),
    "github fine-grained": ("secret", "{}", "github_pat_" + letters(60)),
    "gitlab": ("secret", "{}", "glpat-" + letters(20)),
    "google": ("secret", "maps?q={}", "AIza" + letters(35)),
    "slack": ("secret", "{}", "xoxb-" + letters(12) + "-" + letters(24)),
    "hugging face": ("secret", "login {}", "hf_" + letters(34)),
    "jwt": ("secret", "{}", f"eyJ{letters(20)}.eyJ{letters(40)}.{letters(43)}"),
    "bearer": ("secret", "Authorization: Bearer {}", letters(32)),
    "private key": (
        "secret", "{}\nthanks", f"-----BEGIN RSA PRIVATE KEY-----\n{letters(64)}\n-----END RSA PRIVATE KEY-----"),
    "cut private key": ("secret", "{}", f"-----BEGIN PRIVATE KEY-----\n{letters(64)}\n{letters(64)}"),
    "password": ("secret", "my password is {} ok?", "Tr0ub4dor&3"),
    "password, colon": ("secret", "password: {}.", "xK9#mP2$vL"),
    "api_key": ("secret", "API_KEY='{}'", letters(24)),
    "hex token": ("secret", "token={}", "9f86d081884c7d659a2feaa0c55ad015"),
    "address": ("secret", "postgres://shop:{}@db.internal/x", "hunter2"),
    "visa": ("card_number", "card {} 12/27", "4111 1111 1111 1111"),
    "visa, one word": ("card_number", "{}.", "4012888888881881"),
    "mastercard": ("card_number", "({})", "5555-5555-5555-4444"),
    "mastercard 2": ("card_number", "{}", "2223003122003222"),
    "amex": ("card_number", "{}", "3782 822463 10005"),
    "diners": ("card_number", "{}", "30569309025904"),
    "iban gb": ("iban", "to {} PLEASE", "GB29 NWBK 6016 1331 9268 19"),
    "iban de": ("iban", "to {}.", "DE89370400440532013000"),
    "iban fr": ("iban", "{}", "FR14 2004 1010 0505 0001 3M02 606"),
    "mail": ("email", "write to {}, thanks", "jane.doe+x@mail.example-shop.co.uk"),
    "phone abroad": ("phone", "I am at {}.", "+44 20 7123 4567"),
    "phone us": ("phone", "I am at {}.", "(415) 234-5678"),
    "phone us 1": ("phone", "I am at {}.", "1-415-234-5678"),
    "phone de": ("phone", "I am at {}", "089/1234 5678"),
    "phone, named": ("phone", "please ring me on {}", "07911123456"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_found_and_masked(name):
    code, text, piece = FOUND[name]
    whole = text.format(piece)
    found = find_private([row("Hello", whole)])
    assert [(finding.code, finding.field, finding.line) for finding in found] == [(code, "messages[1].content", 7)]
    assert "names and addresses are not looked for" in found[0].message
    assert mask_private(whole) == text.format(f"<{code}_1>")
    for start in range(len(piece) - 7):  # no eight characters of it are shown, but for the domain of a mail address
        assert piece[start : start + 8] not in found[0].message.replace("mail.example-shop.co.uk", "")


def test_every_code_is_found_here():
    assert {code for code, _, _ in FOUND.values()} == set(codes("privacy")) - {"private_group"}


@pytest.mark.parametrize(
    "text",
    [
        "order 4111111111111112",  # fails Luhn
        "order 9999999999999995",  # right by Luhn, no issuer
        "tracking 400000000000000000002",
        "GB30 NWBK 6016 1331 9268 19",  # fails mod 97
        "order number 415-234-5678",
        "invoice no. +44 20 7123 4567",
        "call me about 195925",
        "12345678 and 123456789012",  # plain digits, no word such as phone
        "reach me under 07700900123",  # set aside for stories
        "support@example.com, a@b.example",
        "2026-11-22 10:30, 22/11/2026, 12.345.678, 1,234,567.89, 192.168.100.200",
        "sk-learn-is-a-library-for-people",
        "the token is refreshed, the key: eleven, my password does not work",
        "tokenization2024 is key figures2024",
        "token = getUser2Token(x)",
        "password: https://example.com/Reset1",
        "-----BEGIN PRIVATE KEY----- is how the file begins",
        "DE is a code, AT12 is not an account",
        "serial PX336080596GB, bank reference 4321-4605",
        "3.14159265358979 and 1e-10",
        "",
    ],
)
def test_not_private(text):
    assert find_private([row(text)]) == []
    assert mask_private(text) == text


def test_no_false_alarms_on_the_tickets():
    folder = data_folder() / "support_triage"
    for name in ("train", "validation", "test", "hard", "other_shop"):
        assert find_private(check_chat(folder / f"{name}.jsonl").placed) == []


def test_random_sixteen_digits_are_rarely_a_card():
    """One number in ten passes Luhn and about one in four of those has an issuer."""
    numbers = ["".join(RANDOM.choices(string.digits, k=16)) for _ in range(2000)]
    hits = sum(bool(spans(number)) for number in numbers)
    assert 0 < hits < 0.06 * len(numbers)


def test_one_finding_a_field_and_kind():
    text = "a@shop.de b@shop.de c@shop.de 4111111111111111"
    found = find_private([row(text)])
    assert {finding.code: finding.message.split()[0] for finding in found} == {"card_number": "1", "email": "3"}


def test_other_columns_and_tool_calls_are_read_too():
    call = {"function": {"name": "mail", "arguments": '{"to": "a@shop.de"}'}}
    data = {"messages": [{"role": "assistant", "tool_calls": [call]}], "author": "b@shop.de"}
    fields = [finding.field for finding in find_private([Row(data, "f", 1)])]
    assert fields == ["messages[0].tool_calls[0].function.arguments", "author"]


@pytest.mark.parametrize("kind", ["as text", "as number"])
def test_json_stays_json(kind):
    card = "4111111111111111"
    answer = {"card": card if kind == "as text" else int(card), "mail": "a@shop.de", "ok": [1, card]}
    masked = json.loads(mask_private(json.dumps(answer)))
    assert masked == {"card": "<card_number_1>", "mail": "<email_1>", "ok": [1, "<card_number_1>"]}


SAME = {
    "email": ("Jane@shop.de", "jane@SHOP.de", "jan@shop.de"),
    "card_number": ("4111 1111 1111 1111", "4111111111111111", "4012888888881881"),
    "iban": ("GB29 NWBK 6016 1331 9268 19", "GB29NWBK60161331926819", "DE89370400440532013000"),
    "phone": ("+44 20 7123 4567", "0044 (20) 7123-4567".replace("-", " "), "+44 20 7123 4568"),
    "secret": ("AKIA" + "A7Q" * 5 + "B", "AKIA" + "A7Q" * 5 + "B", "AKIA" + "A7Q" * 5 + "C"),
}


@pytest.mark.parametrize("code", SAME)
def test_the_same_value_has_one_placeholder_and_another_value_another(code):
    one, same, other = SAME[code]
    memo = new_memo()
    assert mask_private(f"I have {one}.", memo) == f"I have <{code}_1>."
    assert mask_private(f"{other} is mine.", memo) == f"<{code}_2> is mine."
    assert mask_private(f"Not {other}, but {same}!", memo) == f"Not <{code}_2>, but <{code}_1>!"
    assert mask_private(f"I have {other}.") == f"I have <{code}_1>."  # without a memo the numbers hold for one text


def test_placeholders_that_a_file_holds_already_are_not_given_to_others():
    texts = ["write to <email_7> or <email_2>, card <card_number_1>", "a@shop.de"]
    memo = new_memo(texts)
    assert [mask_private(text, memo) for text in texts] == [texts[0], "<email_8>"]
    assert mask_private("<email_1> is not b@shop.de") == "<email_1> is not <email_2>"


PIECES = st.sampled_from([text.format(piece) for _, text, piece in FOUND.values()] + ["+", "@", " ", "-", "4", '"'])


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES | st.text(max_size=5), max_size=6).map("".join))
def test_masking_is_done_once(text):
    masked = mask_private(text)
    assert mask_private(masked) == masked
    assert spans(masked) == []
    pieces = spans(text)
    assert all(a.end <= b.start for a, b in zip(pieces, pieces[1:], strict=False))
    if not pieces:
        assert masked == text
