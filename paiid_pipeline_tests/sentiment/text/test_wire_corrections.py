"""What an agency's marks make of a headline, and that a word in a sentence is no mark."""

from __future__ import annotations

import pytest

from paiid_pipeline.sentiment.text.wire_corrections import CorrectionKind, lead_of

STORY = "Northfield beats Hartwell to the order"


@pytest.mark.parametrize(
    ("before", "kind"),
    [
        ("CORRECTED-", "correction"),
        ("CORRECTED (OFFICIAL)-", "correction"),
        ("CORRECTED-UPDATE 2-", "correction"),
        ("REFILE-", "correction"),
        ("REFILE-UPDATE 1-", "correction"),
        ("Correction: ", "correction"),
        ("CORRECTION - ", "correction"),
        ("CORRECTION FROM SOURCE: ", "correction"),
        ("CORRECTING and REPLACING ", "correction"),
        ("/C O R R E C T I O N -- ", "correction"),
        ("[CORRECTED] ", "correction"),
        ("*CORRECTED* ", "correction"),
        ("Clarification: ", "correction"),
        ("UPDATE 1-", "update"),
        ("UPDATE: ", "update"),
        ("2nd UPDATE: ", "update"),
        ("(Update) ", "update"),
        ("WITHDRAWN-", "withdrawal"),
        ("WITHDRAWN: ", "withdrawal"),
        ("KILL - ", "withdrawal"),
        ("MANDATORY KILL: ", "withdrawal"),
        ("RETRACTED: ", "withdrawal"),
        ("RPT-", None),
        ("RPT-CORRECTED-", "correction"),
        ("", None),
    ],
)
def test_marks_before_a_headline_are_read_and_taken_off(before: str, kind: CorrectionKind | None) -> None:
    lead = lead_of(before + STORY)
    assert (lead.headline, lead.kind) == (STORY, kind)


@pytest.mark.parametrize(
    ("behind", "kind"),
    [(" (Correct)", "correction"), (" (Update1)", "update"), (" [Updated]", "update"), (" - CORRECTED", "correction")],
)
def test_so_are_marks_behind_it(behind: str, kind: CorrectionKind) -> None:
    lead = lead_of(STORY + behind)
    assert (lead.headline, lead.kind) == (STORY, kind)


@pytest.mark.parametrize(
    ("headline", "summary", "kind"),
    [
        (STORY, "(Corrects name of chief executive in paragraph 2) The company said", "correction"),
        (STORY, "(Refiles to fix dateline) The company said", "correction"),
        (STORY, "The order is large. An earlier version of this story misstated it.", "correction"),
        (STORY, "(Adds shares, analyst) The company said", "update"),
        ("Correction to Northfield Earnings Article", "", "correction"),
        ("ADVISORY-Story on Northfield profit withdrawn", "", "withdrawal"),
        ("Story on Northfield's profit is withdrawn", "", "withdrawal"),
    ],
)
def test_notes_are_read_as_well(headline: str, summary: str, kind: CorrectionKind) -> None:
    assert lead_of(headline, summary) == lead_of(headline, summary).__class__(headline, kind)


@pytest.mark.parametrize(
    "headline",
    [
        "Correction in technology stocks deepens",
        "Correction-proof shares to buy",
        "update-heavy week for Northfield",
        "Update on Northfield",
        "Northfield withdraws its guidance report",
        "Withdrawal symptoms at Hartwell",
        "Replacement parts maker rises",
        "Northfield kills its story app",
        "BRIEF-Northfield rises",
        "Kill Bill: the story",
        "CORRECTED",
        "",
        " - ",
    ],
)
def test_words_in_a_sentence_are_no_marks(headline: str) -> None:
    lead = lead_of(headline, "Updates on the matter follow.")
    assert (lead.headline.strip(), lead.kind) == (headline.strip(), None)
