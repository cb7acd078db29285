"""Which language a text is in, by its letters and its commonest words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.sentiment.text.language import is_english


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("Net profit rose", True),
        ("", True),
        ("2008 100 %", True),
        ("Der Gewinn ist hoch", False),
        ("the bank said that die Zeit and le Monde et al", True),  # as many English words as others
        ("прибыль rose", False),
        ("株価 rose by a tenth", True),
        ("Zürich Málaga", True),
        ("Is Les Hotels de Paris (EPA:HDP) Using Too Much Debt?", True),
        ("De La Rue nosedives 20%", True),
        ("DE LA RUE PLUNGES 20%", True),
        ("Compagnie de Saint-Gobain and Ville de Paris et du Nord agree", True),
        ("Caisse de depot et placement du Quebec raises stake in Bombardier", True),
        ("Van der Moolen, Las Vegas Sands and La Jolla slump", True),
        ("Wall Street defit les pronostics et ouvre en hausse", False),
        ("LE POINT SUR LES MARCHES", False),
        ("El Corte Ingles y Telefonica de Espana suben", False),
        ("Apple: serie d'annonces lors de la 'keynote'", False),
    ],
)
def test_each_case(text: str, english: bool) -> None:
    assert is_english(text) == english


@given(st.text(alphabet="abzAZ01_ ,éßяж株²٣", max_size=20))
def test_half_of_the_letters_at_least_are_those_of_english(text: str) -> None:
    letters = re.findall(r"[^\W\d_]", text)
    assert is_english(text) == (2 * sum(map(str.isascii, letters)) >= len(letters))
