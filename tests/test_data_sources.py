"""Files as people have them: every kind gives the same rows on the right lines, and damage never loses one unseen."""

import csv
import gzip
import io
import json
import shutil
from collections import Counter
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_data_formats import (
    ANSWER,
    CALL,
    CHAT,
    RESULT,
    SAYS,
    USER,
    as_in_source,
    as_messages,
    lines,
    put,
    rows_with_an_error,
)
from test_data_schema import lines_with_a_row

from ftlab.data import formats, forms, schema
from ftlab.data.formats import convert, read
from ftlab.errors import DataError

packed = partial(gzip.compress, mtime=0)  # with the time in it, two processes of pytest would name a test differently


def write_csv(rows, **options):
    names = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, names, **options)
    writer.writeheader()
    for row in rows:
        writer.writerow({key: json.dumps(value) if isinstance(value, list) else value for key, value in row.items()})
    return file.getvalue()


def write_parquet(path, rows):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def sources(folder, rows):
    """The same rows in every kind of source."""
    from datasets import Dataset

    text = lines(*rows)
    dataset = Dataset.from_list(rows)
    dataset.save_to_disk(folder / "saved")
    yield put(folder, "a.jsonl", text)
    yield put(folder, "a.json", json.dumps(rows, indent=2))
    yield put(folder, "b.json", json.dumps({"data": rows}))
    yield put(folder, "c.json", text)  # JSONL under another name
    yield put(folder, "a.csv", write_csv(rows))
    yield put(folder, "b.csv", write_csv(rows, delimiter=";").encode("utf-8-sig"))
    yield put(folder, "a.tsv", write_csv(rows, delimiter="\t", quoting=csv.QUOTE_ALL))
    yield put(folder, "a.jsonl.gz", gzip.compress(text.encode()))
    yield put(folder, "b.JSON.GZ", gzip.compress(json.dumps(rows).encode()))
    yield put(folder, "a.csv.gz", gzip.compress(write_csv(rows).encode()))
    yield write_parquet(folder / "a.parquet", rows)
    yield folder / "saved"
    yield dataset


@pytest.mark.parametrize("format", SAYS)
def test_every_kind_of_source_gives_the_same_rows(tmp_path, format):
    data = SAYS[format][0]
    rows = [data | {"id": "007", "note": 'a "quoted", split\nnote; \u2028'}, data | {"id": "008", "note": "ü"}]
    for source in sources(tmp_path, rows):
        result = read(source)
        assert [row.data for row in result.rows] == [as_messages(row, format) for row in rows], source
        assert (result.format, result.rows_in, result.rows_with_error) == (format, 2, 0), source
        assert {finding.code for finding in result.findings} <= {"bom"}, source
        written = convert(source, tmp_path / "out.jsonl", "messages", force=True)
        assert (written.rows_in, written.rows_written, written.source_format) == (2, 2, format)
        chat = schema.read_chat(tmp_path / "out.jsonl")
        assert chat == [as_messages(row, format) for row in rows]


def test_lines_are_those_of_the_file(tmp_path):
    rows = [{"instruction": "a\nb", "output": "c"}, {"instruction": "d", "output": "e"}]
    places = {
        put(tmp_path, "a.csv", write_csv(rows)): [2, 4],
        put(tmp_path, "a.json", '{"about": 1,\n"data": [\n\n{"instruction": "a", "output": "c"\n}, {"instruction": "d",'
                                '"output": "e"}]}'): [4, 5],
        put(tmp_path, "b.json", json.dumps(rows)): [1, 1],
        put(tmp_path, "c.json", json.dumps(CHAT, indent=1)): [1],  # one object is one row
        write_parquet(tmp_path / "a.parquet", rows): [1, 2],
    }  # fmt: skip
    for path, expected in places.items():
        assert [row.line for row in read(path).rows] == expected
        assert {row.file for row in read(path).rows} == {str(path)}


def test_an_element_of_a_json_list_is_named(tmp_path):
    path = put(tmp_path, "a.json", '{"data": [{"messages": []}, 7,' + json.dumps(CHAT) + '], "data2": {"data": []}}')
    result = read(path)
    assert [(finding.code, finding.field) for finding in result.findings] == [
        ("outside_data", "data2"), ("empty_messages", "data[0].messages"), ("not_an_object", "data[1]"),
    ]  # fmt: skip
    assert (result.rows_in, result.rows_with_error, rows_with_an_error(result)) == (3, 2, 2)


def test_a_chat_that_is_a_bare_list_in_a_json_file_is_told_of_rows_and_not_of_lines(tmp_path):
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]
    result = read(put(tmp_path, "a.json", json.dumps([turns, turns])))
    told = 'holds a list of 2 object(s); each list is one chat: write {"conversations": [...]} around it'
    assert {(finding.code, finding.message) for finding in result.findings} == {("not_an_object", told)}


def test_damaged_csv_rows_keep_their_lines_and_the_others_their_place(tmp_path):
    content = (
        b"instruction,output\n"
        b'"a\nb",c\n'  # lines 2 and 3
        b"one,two,three\n"  # 4
        b"\n"
        b"only\n"  # 6
        b'"x"y,z\n'  # 7
        b"caf\xe9,z\n"  # 8
        b"d,e\n"  # 9
        b'f,"g\n'  # 10, never closed
        b"h,i\n"
    )
    result = read(put(tmp_path, "a.csv", content))
    assert [(finding.code, finding.line) for finding in result.findings] == [
        ("wrong_columns", 4), ("wrong_columns", 6), ("broken_csv", 7), ("not_utf8", 8), ("open_quote", 10),
    ]  # fmt: skip
    assert [row.line for row in result.rows] == [2, 9]
    assert (result.rows_in, result.rows_with_error) == (7, 5)
    assert "2 line(s)" in result.findings[-1].message


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("instruction|output\na, b|c\n", 2),
        ("sep=;\r\ninstruction;output\r\na, b;c\r\n", 3),
        ("SEP=\t\ninstruction\toutput\na, b\tc\n", 3),
        ('"output";"instruction";"a, b, c, d"\nc;a, b;\n', 2),
    ],
)
def test_the_separator_of_csv_is_found(tmp_path, content, line):
    (row,) = as_in_source(read(put(tmp_path, "a.csv", content)))
    assert (row["instruction"], row["output"]) == ("a, b", "c")
    assert [row.line for row in read(tmp_path / "a.csv").rows] == [line]


def test_lines_after_a_separator_line_are_those_of_the_file(tmp_path):
    result = read(put(tmp_path, "a.csv", 'sep=,\ninstruction,output\n1\nq,a\nq,"a\n'))
    assert [(finding.code, finding.line) for finding in result.findings] == [("wrong_columns", 3), ("open_quote", 5)]
    assert "the header, line 2, has 2" in result.findings[0].message
    assert "1 line(s)" in result.findings[1].message


def test_lists_in_csv_cells(tmp_path):
    rows = [{"messages": json.dumps(CHAT["messages"])}, {"messages": str(CHAT["messages"])}, {"messages": "hi"}]
    result = read(put(tmp_path, "a.csv", write_csv(rows)))
    assert as_in_source(result) == [CHAT]
    assert [(finding.code, finding.line) for finding in result.findings] == [("cell_not_json", 3), ("wrong_type", 4)]
    answer = {"prompt": "List them.", "completion": '[{"order": 1}]'}  # JSON that is itself the answer
    assert as_in_source(read(put(tmp_path, "b.csv", write_csv([answer])))) == [answer]
    turns = {"prompt": [USER], "completion": [ANSWER]}
    assert as_in_source(read(put(tmp_path, "c.csv", write_csv([turns])))) == [turns]


def test_a_cell_of_csv_stays_text(tmp_path):
    path = put(tmp_path, "a.csv", "instruction,output,order_id,empty\nq,42,007123,\n")
    assert as_in_source(read(path))[0] == {"instruction": "q", "output": "42", "order_id": "007123", "empty": ""}


def test_nulls_that_a_table_adds(tmp_path):
    calls = [{"function": {"name": "f", "arguments": {"a": 1}}}, {"function": {"name": "g", "arguments": {"b": 2}}}]
    rows = [{"messages": [USER, CALL | {"tool_calls": [call]}, RESULT, ANSWER], "note": None} for call in calls]
    result = read(write_parquet(tmp_path / "a.parquet", rows))
    assert as_in_source(result) == rows
    (found,) = result.findings
    assert (found.code, found.severity, found.line) == ("null_arguments", "warning", None)
    assert found.message.startswith("2 null(s), first in row 1, left out")


def test_values_of_a_table_that_json_lacks(tmp_path):
    import datetime

    day = datetime.date(2026, 1, 2)
    assert read(write_parquet(tmp_path / "a.parquet", [CHAT | {"day": day}])).rows[0].data["day"] == "2026-01-02"
    result = read(write_parquet(tmp_path / "b.parquet", [CHAT | {"raw": b"\0"}]))
    assert [(finding.code, finding.field) for finding in result.findings] == [("not_json_value", "raw")]
    assert (result.rows_in, result.rows_with_error) == (1, 1)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", b"", "is empty"),
        ("a.json", b"[]", "is empty"),
        ("a.json", b'{"data": []}', "is empty"),
        ("a.json", b"[1,\n2", r"a\.json:2 not JSON"),
        ("a.json", b'[\n"\xff"]', r"a\.json:2 is not UTF-8"),
        ("a.json", b"7", "holds a number"),
        ("a.json", b'{"train": [], "test": []}', "one object with 'train', 'test'"),
        ("a.json", b'{"data": [], "data": []}', "one object with"),
        ("a.json", b"[" * 100_000, "inside one another"),
        ("a.json", b"[\n" + b"1" * 5000 + b"]", r"a\.json:2 an integer of more than 4,300 digits.* as a string"),
        ("a.jsonl", b"\n", "is empty"),
        ("a.csv", b"", "header is empty"),
        ("a.csv", b"instruction,output\n", "no rows"),
        ("a.csv", b"a,a\n1,2\n", "names 'a' twice"),
        ("a.csv", b'"a"b,c\n1,2\n', "header is not CSV"),
        ("a.csv", b"caf\xe9,b\n1,2\n", "header is not UTF-8"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("a.parquet", b"PAR1", "cannot be read"),
        ("a.jsonl.gz", b"{}", "not a whole gzip file"),
        ("a.jsonl.gz", packed(lines(CHAT).encode())[:-9], "not a whole gzip file"),
        ("a.json.gz", packed(b"["), r"a\.json\.gz:1 not JSON"),
        ("b.jsonl", packed(b"{}"), "packed with gzip: name it"),
        ("b.json", b"PK\x03\x04", "Excel workbook: unpack it, or save the sheet as CSV"),
        ("b.xlsx", b"PK\x03\x04", "Excel workbook: unpack it, or save the sheet as CSV"),
        ("b.csv", b"PAR1", "is Parquet: name it"),
        ("b.json", "[]".encode("utf-16"), "is UTF-16"),
        ("b.jsonl", "{}".encode("utf-16"), "is UTF-16"),
        ("b.csv.gz", packed("a,b".encode("utf-16")), r"b\.csv\.gz is UTF-16"),
        ("a.txt", b"hello", "Name it .jsonl"),
        ("a.parquet.gz", b"", "Name it .jsonl"),
    ],
)
def test_a_source_without_rows_is_an_error(tmp_path, name, content, told):
    with pytest.raises(DataError, match=told) as error:
        read(put(tmp_path, name, content))
    assert name in str(error.value)


def test_other_sources_that_cannot_be_read(tmp_path):
    from datasets import Dataset, DatasetDict

    both = DatasetDict(train=Dataset.from_list([CHAT]), test=Dataset.from_list([CHAT]))
    both.save_to_disk(tmp_path / "both")
    with pytest.raises(DataError, match=r"splits test, train: name one, for example .*both.test"):
        read(tmp_path / "both")
    assert as_in_source(read(tmp_path / "both" / "train")) == [CHAT]
    with pytest.raises(DataError, match="splits train, test"):
        read(both)
    with pytest.raises(DataError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "none.csv")
    with pytest.raises(DataError, match="not a list"):
        read([CHAT])
    with pytest.raises(DataError, match="'chatml' is not a format"):
        read(tmp_path / "none.csv", format="chatml")


# --- damage of every kind

FIELDS = sorted(set().union(*forms.OWN_NAMES.values(), ("from", "value", "role", "content", "weight", "data", "id")))
VALUE = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-9, 10**20) | st.sampled_from(["", "q", "gpt", "\ud800"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=8,
)
SAMPLES = [data for data, _ in SAYS.values()]
ROW = st.one_of(
    st.sampled_from(SAMPLES),
    st.builds(lambda row, name, value: row | {name: value}, st.sampled_from(SAMPLES), st.sampled_from(FIELDS), VALUE),
    VALUE,
)
CUT = st.tuples(st.floats(0, 1), st.integers(0, 6), st.binary(max_size=4) | st.sampled_from([b'"', b",", b"\n", b"[{"]))


def damaged(content, cuts):
    """The bytes with some replaced; an empty list leaves them whole."""
    for place, removed, added in cuts:
        start = int(place * len(content))
        content = content[:start] + added + content[start + removed :]
    return content


def build(folder, kind, rows, template):
    """Bytes of a file of this kind with these rows; of a table the bytes of the template."""
    if kind in ("jsonl", "jsonl.gz"):
        return b"\n".join(json.dumps(row).encode() for row in rows)
    if kind == "json":
        return json.dumps(rows, indent=len(rows) % 2 or None).encode()
    if kind == "data.json":
        return json.dumps({"data": rows, "about": None}).encode()
    if kind == "csv":
        records = [row for row in rows if isinstance(row, dict)] or [{"prompt": "q"}]
        return write_csv(records).encode("utf-8", "surrogatepass")
    return template[kind].read_bytes()


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    from datasets import Dataset

    folder = tmp_path_factory.mktemp("template")
    rows = [CHAT | {"id": str(number)} for number in range(3)]
    Dataset.from_list(rows).save_to_disk(folder / "saved")
    arrow = next((folder / "saved").glob("*.arrow"))
    return {
        "parquet": write_parquet(folder / "a.parquet", rows),
        "saved": folder / "saved",
        arrow.name: arrow,
        "state.json": folder / "saved" / "state.json",
        "dataset_info.json": folder / "saved" / "dataset_info.json",
    }


KINDS = st.sampled_from(
    ["jsonl", "json", "data.json", "csv"] * 4 + ["jsonl.gz", "parquet", "parquet", "state.json", "arrow"]
)


def test_a_thousand_damaged_files_give_books_that_balance(tmp_path, template):
    seen, partly = Counter(), Counter()

    @settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        KINDS,
        st.lists(ROW, max_size=4),
        st.lists(CUT, max_size=2),
        st.none() | st.none() | st.sampled_from(list(formats.FORMATS)),
    )
    def books_balance(kind, rows, cuts, format):
        if kind == "arrow":
            kind = next(name for name in template if name.endswith(".arrow"))
        content = damaged(build(tmp_path, kind, rows, template), cuts)
        if kind in ("jsonl", "json", "data.json", "csv", "parquet", "jsonl.gz"):
            content = gzip.compress(content)[: -8 if len(cuts) == 2 else None] if kind == "jsonl.gz" else content
            path = put(tmp_path, f"a.{kind}", content)
        else:
            path = tmp_path / "folder"
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(template["saved"], path)
            put(path, kind, content)
        seen[kind] += 1
        told = ""
        try:
            result = read(path, format)
        except DataError as refusal:
            told = str(refusal)
        if told:
            assert str(path) in told
            return
        assert result.rows_in == len(result.rows) + result.rows_with_error
        assert result.rows_with_error == rows_with_an_error(result)
        if kind == "jsonl":
            assert result.rows_in == len(lines_with_a_row(content, result.findings))
        partly[kind] += 0 < len(result.rows)
        for row in result.rows:  # what is kept converts and can be written
            json.dumps(row.data, allow_nan=False).encode()
        out = tmp_path / "out.jsonl"
        try:
            written = convert(path, out, "messages", result.format, force=True)
        except DataError:
            assert not result.rows
            return
        assert (written.rows_in, written.rows_written) == (result.rows_in, len(result.rows))
        assert schema.check_chat(out).rows_kept == written.rows_written

    books_balance()
    assert len(seen) >= 8  # every kind had its turn
    assert all(partly[kind] for kind in ("jsonl", "json", "data.json", "csv", "parquet", "jsonl.gz"))


def test_what_stands_beside_data_is_told_at_its_own_line(tmp_path):
    path = tmp_path / "rows.json"
    turns = [{"role": "user", "content": "version"}, {"role": "assistant", "content": "b"}]
    row = json.dumps({"messages": turns, "version": 1})
    path.write_text('{"data": [' + row + '],\n "\\u00e9": 1,\n "version": 2}')
    assert [(found.field, found.line) for found in read(path).findings] == [("é", 2), ("version", 3)]
    path.write_text('{"data": [' + row + '], "data": [' + row + "]}")
    with pytest.raises(DataError, match="'data', 'data'"):
        read(path)
