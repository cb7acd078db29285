"""How fast the served form is beside the usual ways, on the same texts in one process: texts a second of CPU.

    python -m paiid_pipeline_tests.models.bench_serving MODEL_FOLDER TEXTS.csv

CPU time on one thread each, best of two rounds in turn, so that neighbours on the machine do not decide. The
whole path counts: normalise, tokenise, score. Also says how often the labels agree with fp32.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from paiid_pipeline.models.export import export_model
from paiid_pipeline.models.network import encode, load_network, load_tokenizer, predict
from paiid_pipeline.models.runtime import load_served
from paiid_pipeline.models.signing import SigningKey, sign_folder
from paiid_pipeline.sentiment.normalise import normalise

Score = Callable[[Sequence[str]], np.ndarray]
ROUNDS = 2


def _clean(texts: Sequence[str]) -> list[tuple[str, str | None]]:
    return [(normalise(text).text or "empty", None) for text in texts]


def served(folder: Path) -> Score:
    key = SigningKey(bytes(32))
    sign_folder(folder, key)
    model = load_served(folder, key.public)
    return lambda texts: np.array([model.forward(*each) for each in model.encode(_clean(texts))])


def torch_batches(folder: Path) -> Score:
    network, tokenizer = load_network(folder), load_tokenizer(folder)
    return lambda texts: predict(network, encode(tokenizer, _clean(texts)), batch=32)


def usual_pipeline(folder: Path, batch: int) -> Score:
    """The same encoder under transformers' own head and pipeline; the head's weights do not matter for time."""
    from tokenizers import Tokenizer
    from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast, pipeline

    model = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(folder, num_labels=3)).eval()
    raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="[PAD]", model_max_length=128)
    run = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu", top_k=None)

    def score(texts: Sequence[str]) -> np.ndarray:
        found = run([text for text, _ in _clean(texts)], batch_size=batch, truncation=True)
        return np.array([[each["score"] for each in row] for row in found])

    return score


def main() -> None:
    import torch

    torch.set_num_threads(1)
    folder, path = Path(sys.argv[1]), Path(sys.argv[2])
    texts = pl.read_csv(path, infer_schema=False)["text"].to_list()
    calibration = _clean(texts[::5])
    timed, scratch = texts[:200], tempfile.TemporaryDirectory()
    ways: dict[str, Score] = {
        name: served(export_model(folder, Path(scratch.name) / name, calibration, precision=name))
        for name in ("fp32", "int8")
    }
    ways |= {f"pipeline, batch {size}": usual_pipeline(folder, size) for size in (1, 8, 32)}
    ways["torch fp32 in length buckets"] = torch_batches(folder)
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, score in ways.items():
            start = time.process_time()
            score(timed)
            best[name] = min(best[name], time.process_time() - start)
    slow = min(value for name, value in best.items() if name.startswith("pipeline"))
    for name, seconds in best.items():
        print(f"{name:32s} {len(timed) / seconds:7.0f} texts a CPU second   {slow / seconds:5.2f} x the pipeline")
    rest = [text for place, text in enumerate(texts) if place % 5]
    agree = ways["int8"](rest).argmax(1) == ways["fp32"](rest).argmax(1)
    print(f"int8 and fp32 give the same label for {agree.mean():.4f} of {len(rest)} texts not calibrated on")


if __name__ == "__main__":
    main()
