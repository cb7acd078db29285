"""How often disguised letters turn a label, with and without our defences, and what the defences cost.

    python -m paiid_pipeline_tests.benchmarks.bench_attacks [MODELS]
    BENCH=full python -m paiid_pipeline_tests.benchmarks.bench_attacks [MODELS]

MODELS is a folder with a signed custom_bert, by default where models are installed. Where none is, nothing is shown:
what fools a model that was not trained says nothing of one that was. The texts are sentences of Financial PhraseBank
(PAIID_DATA_DIR). An attack disguises every word of four letters or more, in ways drawn anew for each seed. Undefended
is the same served model on the text as it came; defended is the path that every text takes. The flip rate is the share
of texts whose label is another than that way gives the untouched text.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from paiid_pipeline.ml.registry import installed
from paiid_pipeline.ml.signing import KeySource, key_of
from paiid_pipeline.ml.text.onnx_runtime import load_served
from paiid_pipeline.ml.text.scoring import load_member
from paiid_pipeline.sentiment.base import TextInput
from paiid_pipeline.sentiment.labels import INDEX
from paiid_pipeline.sentiment.text.language import is_english
from paiid_pipeline.sentiment.text.normalise import normalise
from paiid_pipeline.sentiment.text.pii import mask
from paiid_pipeline.sentiment.text.spelling import speller
from paiid_pipeline.sentiment.transformer import Transformer
from paiid_pipeline.settings import load_settings
from paiid_pipeline_tests.benchmarks.table import Row, show

_A_ROUND = 400
Way = Callable[[str, random.Random], str]

CYRILLIC = dict(zip("aceopxyisjhABCEHIKMOPTXSJ", "асеорхуіѕјһАВСЕНІКМОРТХЅЈ", strict=True))
GREEK = dict(zip("aikovnptuABEZHIKMNOPTYX", "αικονηρτυΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", strict=True))
LEET = dict(zip("oeaist", "034157", strict=True))
HIDDEN = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u2063"
MARKS = "\u0300\u0301\u0302\u0303\u0307\u0308\u0323\u0327\u0331\u0338"
JOINTS = ".-_*·|/~+"
EMOJI = "🚀🔥💰📈😀⭐"


def _some(word: str, table: dict[str, str], rng: random.Random, most: int) -> str:
    """Up to ``most`` letters of a word replaced by the table's, one of them left if all could be."""
    places = [place for place, letter in enumerate(word) if letter in table]
    chosen = rng.sample(places, min(most, len(places), len(word) - 1))
    return "".join(table[letter] if place in chosen else letter for place, letter in enumerate(word))


def _insert(word: str, signs: str, rng: random.Random) -> str:
    place = rng.randrange(1, len(word))
    return word[:place] + rng.choice(signs) + word[place:]


def _swap(word: str, rng: random.Random) -> str:
    place = rng.randrange(1, len(word) - 1)
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _accents(word: str, rng: random.Random) -> str:
    return "".join(letter + rng.choice(MARKS) if rng.random() < 0.4 else letter for letter in word)


def _leet(word: str, rng: random.Random) -> str:
    return word[0] + _some(word[1:-1], LEET, rng, 2) + word[-1]


def _repeat(word: str, rng: random.Random) -> str:
    place = rng.randrange(1, len(word))
    return word[:place] + word[place] * rng.randint(2, 4) + word[place:]


def _wide(word: str) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in word)


def _circled(word: str) -> str:
    return "".join(
        chr(0x24D0 + ord(c) - 97) if "a" <= c <= "z" else chr(0x24B6 + ord(c) - 65) if "A" <= c <= "Z" else c
        for c in word
    )


def _escaped(word: str, rng: random.Random) -> str:
    return "".join(rng.choice([f"&#{ord(letter)};", f"&#x{ord(letter):x};", letter]) for letter in word)


def _turned(word: str) -> str:
    """Written backwards between marks that turn it round again for the eye."""
    return f"\u202e{word[::-1]}\u202c"


def _anything(word: str, rng: random.Random) -> str:
    ways = (look_alikes, hidden, swaps, _accents, lambda w, _r: _wide(w), _leet)
    return rng.choice(ways)(word, rng)


def look_alikes(word: str, rng: random.Random) -> str:
    return _some(word, rng.choice([CYRILLIC, GREEK]), rng, 3)


def hidden(word: str, rng: random.Random) -> str:
    return _insert(_insert(word, HIDDEN, rng), HIDDEN, rng)


def swaps(word: str, rng: random.Random) -> str:
    return _swap(word, rng)


def _words(way: Callable[[str, random.Random], str]) -> Way:
    """A way to disguise a word, put to every word of four letters or more."""

    def attack(text: str, rng: random.Random) -> str:
        return " ".join(way(w, rng) if len(w) > 3 and w.isalpha() and w.isascii() else w for w in text.split(" "))

    return attack


GOAL_ATTACKS: dict[str, Way] = {
    "look-alikes": _words(look_alikes),
    "zero-width characters": _words(hidden),
    "swapped letters": _words(swaps),
    "letters spaced, by word": _words(lambda word, _rng: " ".join(word)),
    "letters spaced, whole text": lambda text, _rng: " ".join(text),
    "letters spaced, no gaps": lambda text, _rng: " ".join(text.replace(" ", "")),
    "a space inside words": _words(lambda word, rng: _insert(word, " ", rng)),
    "diacritics": _words(_accents),
    "leetspeak": _words(_leet),
    "mixed": _words(_anything),
}
OTHER_ATTACKS: dict[str, Way] = {
    "letters joined by one sign": _words(lambda word, rng: rng.choice(JOINTS).join(word)),
    "letters joined by several signs": _words(lambda word, rng: "".join(c + rng.choice(JOINTS) for c in word)[:-1]),
    "no-break spaces, whole text": lambda text, _rng: "\u00a0".join(text),
    "capitals, spaced": _words(lambda word, _rng: " ".join(word.upper())),
    "a sign inside words": _words(lambda word, rng: _insert(word, "-._*", rng)),
    "emoji between letters": _words(lambda word, rng: rng.choice(EMOJI).join(word)),
    "letters repeated": _words(_repeat),
    "full width": _words(lambda word, _rng: _wide(word)),
    "circled letters": _words(lambda word, _rng: _circled(word)),
    "soft hyphens": _words(lambda word, _rng: "\u00ad".join(word)),
    "HTML entities": _words(_escaped),
    "right-to-left override": _words(lambda word, _rng: _turned(word)),
}


def predictions(count: int) -> list[str]:
    """Sentences that are positive or negative: those that an attacker would want to turn."""
    return phrasebank().filter(pl.col("label") != "neutral").sample(count, seed=3)["text"].to_list()


def phrasebank() -> pl.DataFrame:
    """What PAIID_DATA_DIR has of Financial PhraseBank. Raises KeyError where it is not set."""
    path = Path(os.environ["PAIID_DATA_DIR"]) / "sentiment" / "financial_phrasebank.csv"
    return pl.read_csv(path, infer_schema=False)


def labels(member: Transformer, given: Sequence[str]) -> np.ndarray:
    return np.array(
        [np.argmax(prediction.probabilities) for prediction in member.score([TextInput(text) for text in given])]
    )


def cleaned(given: Sequence[str]) -> list[str]:
    return [normalise(text).text for text in given]


def flips(models: Path, key: KeySource, count: int, seeds: Sequence[int]) -> list[Row]:
    """The flip rate of each attack over all seeds, ours against the undefended."""
    defended = load_member("custom_bert", models, key)
    public = key().public
    plain = replace(defended, encode=load_served(folder_of(models, public), public).encode)
    given = predictions(count)
    ours, theirs = labels(defended, cleaned(given)), labels(plain, given)
    rows = []
    for name, attack in (GOAL_ATTACKS | OTHER_ATTACKS).items():
        turned = np.zeros(2)
        for seed in seeds:
            rng = random.Random(seed)
            attacked = [attack(text, rng) for text in given]
            turned += (labels(defended, cleaned(attacked)) != ours).mean(), (labels(plain, attacked) != theirs).mean()
        mine, other = turned / len(seeds)
        ratio = mine / other if other else float(mine > 0)
        rows.append(Row(name, f"{mine:.3f}", f"{other:.3f}", ratio, "<= 0.1" if name in GOAL_ATTACKS else ""))
    return rows


def folder_of(models: Path, public: bytes) -> Path:
    """Where the model lies: in a version that was installed, or in the folder itself."""
    folder = models / "custom_bert"
    return installed("custom_bert", models, public).folder if (folder / "champion.json").is_file() else folder


def clean_cost(models: Path, key: KeySource, rounds: int) -> list[Row]:
    """What the defences take from the accuracy on untouched sentences, and from the time.

    Their time is that of all that is done to a text, less that of masking personal data and telling the language. Every
    round takes sentences that were not read before, once with a speller that has read those of the rounds before, as
    in a process that lives on, and once with a new one.
    """
    defended = load_member("custom_bert", models, key)
    public = key().public
    served = load_served(folder_of(models, public), public)
    plain = replace(defended, encode=served.encode, threads=1)
    rows = phrasebank().unique("text", maintain_order=True).sample(fraction=1, shuffle=True, seed=4)
    given, truth = rows["text"].to_list(), np.array([INDEX[label] for label in rows["label"]])
    right = [(labels(member, texts) == truth).mean() for member, texts in ((defended, cleaned(given)), (plain, given))]
    vocabulary = json.loads((folder_of(models, public) / "tokenizer.json").read_text())["model"]["vocab"]
    words = [word for word in sorted(vocabulary, key=vocabulary.__getitem__) if word.lstrip("#").isalpha()]
    old = speller(words)
    spent = []
    for start in range(0, rounds * _A_ROUND, _A_ROUND):
        some = given[start : start + _A_ROUND]
        clean, new = cleaned(some), speller(words)
        others = _seconds(lambda text: (mask(text), is_english(text)), clean)
        normalised = _seconds(normalise, some) - others
        spelled = (_seconds(old, clean), _seconds(new, clean))
        before = time.process_time()
        labels(plain, clean)
        spent.append([*(normalised + each for each in spelled), time.process_time() - before])
    going, first, inference = np.median(np.array(spent), axis=0) / _A_ROUND
    shares = np.median([(each[0] / each[2], each[1] / each[2]) for each in spent], axis=0)
    loss = (right[1] - right[0]) * 100
    accuracy = [f"{each:.4f}" for each in right]
    against = f"inference: {inference * 1e6:.0f} us"
    costs = zip(("CPU of it a text", "in a new process"), (going, first), shares, strict=True)
    return [
        Row("accuracy, untouched", *accuracy, right[0] / right[1], f"{loss:+.2f} <= 0.2 points"),
        *(Row(what, f"{cost * 1e6:.0f} us", against, share, f"{share:.2%} <= 1 %") for what, cost, share in costs),
    ]


def _seconds(step: Callable[[str], object], given: Sequence[str]) -> float:
    start = time.process_time()
    for text in given:
        step(text)
    return time.process_time() - start


def main() -> None:
    """Measure and print the tables."""
    if not Path(os.environ.get("PAIID_DATA_DIR", "")).joinpath("sentiment").is_dir():
        print("Character attacks: needs real data, set PAIID_DATA_DIR to its folder")
        return
    settings = load_settings()
    models, key = Path(sys.argv[1]) if len(sys.argv) > 1 else settings.models_dir, partial(key_of, settings)
    if not (models / "custom_bert").is_dir():
        print(
            f"Character attacks: needs a trained custom_bert, and {models} has none: train one (paiid models train), "
            "or name a folder that has one"
        )
        return
    full = os.environ.get("BENCH") == "full"
    count, seeds = (600, (1, 2, 3)) if full else (150, (1,))
    rows = flips(models, key, count, seeds) + clean_cost(models, key, 9 if full else 5)
    show(f"Labels turned by character attacks: {count} sentences, {len(seeds)} seeds; ours is defended", rows)


if __name__ == "__main__":
    main()
