"""Sources merge into one table without doubles or leaks, and nothing unprepared is kept."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from paiid_pipeline.ml.text.datasets import FOLDS, build_dataset, digest, read_labelled, without_leaks

PHRASEBANK = """id,text,label,agree
p1,Sales rose sharply in the third quarter,positive,50
p2,Sales rose sharply in the third quarter,positive,100
p3,The firm is based in Oulu,neutral,66
p4,Profit was what it was,negative,75
p5,Profit was what it was,neutral,75
"""
TWEETS = (
    "text,label,id\nCall me: 212-555-0147 $GM cut,bearish,t1\nSALES rose sharply in the third quarter,positive,t2\n"
)
OPINIONS = """id,text,entity,score,aspect,kind,split
o1,Hartwell soars,Hartwell,0.8,x,headline,train
o2,Hartwell drifts,Hartwell,-0.07,x,headline,train
"""
ENTITIES = "id,text,entity,label,n_entities,conflict\ne1,A beats B,A,positive,2,True\ne1,A beats B,B,negative,2,True\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
        "financial_phrasebank": PHRASEBANK, "twitter_financial_news": TWEETS, "fiqa2018": OPINIONS,
        "sentfin_entities": ENTITIES,
    }.items():  # fmt: skip
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


def _row(rows: pl.DataFrame, identity: str) -> dict[str, object]:
    return rows.row(by_predicate=pl.col("id") == identity, named=True)


def test_doubles_go_and_contradictions_go_with_their_count(folder: Path) -> None:
    made = build_dataset(folder, str.strip)
    kept = set(made.rows.filter(pl.col("source") == "phrasebank")["id"])
    assert kept == {"p2", "p3"}
    assert (made.doubles, made.contradictions) == (1, 2)
    assert made.sources == {"phrasebank": 2, "tweets": 2, "fiqa": 2, "entities": 2}


def test_the_same_text_in_two_sources_is_one_group_and_so_cannot_leak(folder: Path) -> None:
    rows = build_dataset(folder, str.strip).rows
    tweets = rows.filter(pl.col("source") == "tweets")
    left = without_leaks(tweets, rows.filter(pl.col("source") == "phrasebank"))
    assert left["id"].to_list() == ["t1"]


def test_targets_follow_the_annotators_and_the_scores(folder: Path) -> None:
    rows = build_dataset(folder, str.strip).rows
    target = ("p_negative", "p_neutral", "p_positive")
    assert [_row(rows, "p3")[name] for name in target] == pytest.approx([0.0625, 0.875, 0.0625])
    assert [_row(rows, "o1-0")[name] for name in target] == [0.0, 0.0, 1.0]
    assert [_row(rows, "o2-1")[name] for name in target] == pytest.approx([0.2, 0.8, 0.0])
    assert _row(rows, "o2-1")["label"] == "neutral"
    assert _row(rows, "t1")["label"] == "negative"
    sums = rows.select(pl.sum_horizontal(target)).to_series()
    assert (sums - 1).abs().max() < 1e-12  # type: ignore[operator]


def test_nothing_unprepared_is_kept(folder: Path) -> None:
    rows = build_dataset(folder, lambda text: text.replace("212-555-0147", "[phone]").replace("Hartwell", "H")).rows
    assert "555" not in rows.write_csv()
    assert "Hartwell" not in rows.write_csv()
    assert "[phone]" in str(_row(rows, "t1")["text"])


def test_any_part_of_the_sources_will_do_and_none_is_an_error(folder: Path, tmp_path: Path) -> None:
    (folder / "financial_phrasebank.csv").unlink()
    assert "phrasebank" not in build_dataset(folder, str.strip).sources
    with pytest.raises(LookupError, match=r"no labelled texts in .*financial_phrasebank\.csv"):
        build_dataset(tmp_path / "nowhere", str.strip)


def test_the_digest_is_of_the_content_not_of_the_order(folder: Path) -> None:
    made = build_dataset(folder, str.strip)
    assert made.sha256 == build_dataset(folder, str.strip).sha256 == digest(made.rows.reverse())
    assert made.sha256 != digest(made.rows.head(-1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,mood\nx,good\n", "has no column 'label'; it has text, mood"),
        ("text,label\nx,positive\ny,2\n", "row 3: label '2' is a number"),
        ("text,label\nx,\n", "row 2: unknown label ''"),
    ],
)
def test_a_users_file_that_cannot_be_read_is_named_with_the_remedy(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"mine\.csv") as caught:
        read_labelled(path)
    assert message in str(caught.value)


def test_a_users_file_may_name_entities_or_not(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text('text,label,entity\n"A, beats B",Positive,B\n')
    assert read_labelled(path).rows() == [("A, beats B", "positive", "B")]
    path.write_bytes(b"label,text\nneutral,caf\xe9 opens\n")
    assert read_labelled(path).row(0)[1:] == ("neutral", None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"text,label\n", "no rows"),
        (b"text,label\nup, with a comma,positive\n", "line 2: 3 fields under 2 columns"),
        (b"text,label\nx,neutral\nup\n", "line 3: 1 fields under 2 columns"),
        (b'text,label\n"up,positive\nmeh,neutral\n', "quotes do not pair"),
        (b'text,label\n"says "wow" up",positive\n', "line 2: its quotes do not pair"),
        (b"text,label,Text\nx,neutral,y\n", "two columns 'text'"),
        (b"sentence,label\nx,neutral\n", "no column 'text'"),
        (b"\x1f\x8b\x08\x00rubbish", "compressed"),
        (b"PK\x03\x04rubbish", "spreadsheet"),
    ],
)
def test_an_odd_file_ends_in_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"mine\.csv") as caught:
        read_labelled(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_or_nothing_ends_in_one_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(ValueError, match="give a CSV file"):
            read_labelled(path)


TEXT = "Estée Lauder doesn’t win – “horrible”"


@pytest.mark.parametrize(
    ("encoding", "separator", "newline"),
    [
        ("utf-8", ",", "\n"), ("utf-8-sig", ",", "\r\n"), ("utf-16", ";", "\r\n"), ("cp1252", ";", "\n"),
        ("cp1252", ",", "\r"), ("utf-8-sig", "\t", "\n"),
    ],
)  # fmt: skip
def test_what_programs_write_is_read(tmp_path: Path, encoding: str, separator: str, newline: str) -> None:
    path = tmp_path / "mine.csv"
    lines = [("Text", " LABEL", "Entity"), (TEXT, "Negative ", "Estée Lauder"), (f'"two{newline}lines"', "pos", "")]
    path.write_bytes((newline.join(separator.join(line) for line in lines) + newline * 2).encode(encoding))
    assert read_labelled(path).rows() == [(TEXT, "negative", "Estée Lauder"), ("two\nlines", "positive", None)]


@pytest.mark.skipif(not os.environ.get("PAIID_DATA_DIR"), reason="PAIID_DATA_DIR is not set")
def test_the_real_sets_split_into_even_folds_without_leaks() -> None:
    made = build_dataset(Path(os.environ["PAIID_DATA_DIR"]), lambda text: " ".join(text.split()))
    rows = made.rows
    assert set(made.sources) == {"phrasebank", "headlines", "entities", "tweets", "fiqa"}
    assert rows.group_by("group").agg(pl.col("fold").n_unique())["fold"].max() == 1
    for _, size in rows.group_by("source", "fold").len().select("source", "len").iter_rows():
        assert size > 0
    shares = rows.filter(pl.col("source") == "phrasebank")["fold"].value_counts()["count"] / made.sources["phrasebank"]
    assert shares.len() == FOLDS
    assert shares.min() > 0.15  # type: ignore[operator]
    lower = rows.with_columns(pl.col("text").str.to_lowercase())
    assert lower.group_by("text").agg(pl.col("fold").n_unique())["fold"].max() == 1
