"""A file that is replaced: whole or not at all, and private where it must be."""

from __future__ import annotations

from pathlib import Path

import pytest

from paiid_pipeline.atomic_files import replacing, write_text


def test_a_file_is_made_with_its_folder_and_replaced(tmp_path: Path) -> None:
    file = tmp_path / "new" / "file"
    for text in ("one", "two"):
        write_text(file, text)
        assert file.read_text() == text
    assert list(file.parent.iterdir()) == [file]


def test_what_fails_on_the_way_leaves_the_file_as_it_was_and_no_draft(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_text(file, "whole")
    with pytest.raises(TypeError), replacing(file) as draft, draft.open("w") as part:
        part.writelines(["ha", 1])  # type: ignore[list-item]
    assert file.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [file]


def test_a_private_file_is_its_owners_alone(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "secret", private=True)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
