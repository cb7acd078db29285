"""The report shows every set, fold, seed, interval and paired test that was measured."""

from __future__ import annotations

from paiid_pipeline.ml.text.cross_validation import markdown


def test_the_tables_hold_what_was_measured() -> None:
    interval = {"value": 0.9, "low": 0.85, "high": 0.95}
    whole = {"rows": 20, "accuracy": interval, "macro_f1": interval, "ece": interval, "ece_by_chance": 0.012}
    fold = {"accuracy": 0.91, "macro_f1": 0.89, "rows": 10}
    tweets = {"all": whole, "folds": {"0": fold, "3": fold}, "seed": 5, "p against others": 0.0123}
    text = markdown({"data": {"sha256": "ab", "rows": 40}, "tweets": tweets})
    assert "40 labelled texts, sha256 `ab`" in text
    assert "| tweets | 20 | 0.900 [0.850, 0.950] | 0.900 [0.850, 0.950] | 0.900 [0.850, 0.950] | 0.012 |" in text
    assert "| tweets | 5 | 0 | 10 | 0.910 | 0.890 |" in text
    assert "| tweets | 8 | 3 | 10 | 0.910 | 0.890 |" in text
    assert "tweets, p against others: 0.012 (McNemar)" in text
