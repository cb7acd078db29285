"""The page is served whole from this machine, and may load and run nothing else."""

from __future__ import annotations

import re
from importlib.resources import files

import httpx
import pytest
from fastapi import FastAPI

from paiid_pipeline.api.board import add_board
from paiid_pipeline_tests.sources.fake_vendor import serving

PAGE = files("paiid_pipeline.api.board")


def test_everything_that_the_page_names_is_served() -> None:
    app = FastAPI()
    add_board(app)
    with serving(app) as url, httpx.Client(base_url=url, trust_env=False) as client:
        page = client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        named = re.findall(r'(?:src|href)="(/board/[^"]+)"', page.text)
        assert [client.get(path).headers["content-type"].partition(";")[0] for path in named] == [
            "text/css", "text/javascript",
        ]  # fmt: skip


@pytest.mark.parametrize("name", ["index.html", "board.css", "board.js"])
def test_it_names_no_other_site_and_reads_no_text_as_html(name: str) -> None:
    text = PAGE.joinpath(name).read_text()
    assert not re.search(r"https?://(?!\W)|//cdn|@import", text.replace("/^https?:/", ""))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
