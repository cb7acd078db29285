"""Fine-tunes an encoder into a three-class classifier; deterministic, also when resumed from a checkpoint."""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import polars as pl

from paiid_pipeline.atomic_files import replacing
from paiid_pipeline.ml.classification_metrics import macro_f1
from paiid_pipeline.ml.text.classifier import (
    WEIGHTS,
    Encoded,
    encode,
    has_bfloat16,
    load_network,
    load_tokenizer,
    new_network,
    padded,
    predict,
    save_network,
)
from paiid_pipeline.ml.text.datasets import digest, label_indices

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

CHECKPOINT = "checkpoint.safetensors"
RECORD = "training.json"
"""In the model's folder: the configuration, the digest of the rows, and the result."""

_REPORT_STEPS: Final = 5
"""Steps between progress reports."""

SAMPLING: Final[Mapping[str, float]] = {
    "tweets/neutral": 0.6,
    "entities": 0.25,
    "fiqa": 0.6,
}
"""The fraction of a source's rows that an epoch samples; 1 for sources not listed."""


@dataclass(frozen=True)
class FineTuningConfig:
    """Hyperparameters; with the rows they determine the weights."""

    base: str
    """A folder or hub name of an encoder, or a folder of one of our own models."""
    seed: int = 0
    epochs: int = 3
    batch: int = 32
    learning_rate: float = 2.5e-4
    """Peak learning rate of the last layer; each layer below has ``layer_decay`` times that of the one above."""
    head_learning_rate: float = 1e-3
    layer_decay: float = 0.9
    warm_up: float = 0.08
    """The fraction of the steps with rising learning rate; after it the rate decays linearly."""
    smoothing: float = 0.05
    consistency: float = 0.0
    """Weight of the symmetric KL divergence between two dropout passes (R-Drop, Liang 2021).

    Above 0 a step takes twice as long."""
    weight_decay: float = 0.01
    averaging: float = 0.997
    """Decay of the exponential moving average of the weights, which is what is saved."""
    train_embeddings: bool = False
    """False: word embeddings stay frozen, so that words absent from training keep their neighbours."""
    patience: int = 2
    """Early stopping: epochs without a better validation score."""
    max_tokens: int = 128
    half: bool = field(default_factory=has_bfloat16)
    """Autocast to bfloat16; weights stay float32. By default where the processor supports it."""
    threads: int = 1
    shares: Mapping[str, float] = field(default_factory=lambda: dict(SAMPLING))


@dataclass(frozen=True)
class Progress:
    """Progress of a training: reported every five steps and at the end of each epoch."""

    epoch: int
    step: int
    steps: int
    loss: float
    validation_macro_f1: float | None
    """None except at the end of an epoch."""


@dataclass(frozen=True)
class FineTunedModel:
    """A finished training: the folder of its model, and its validation result."""

    folder: Path
    epochs: int
    best_epoch: int
    """The saved epoch: the latest within one standard error of the best validation score."""
    validation_macro_f1: float


def train(
    rows: pl.DataFrame,
    validation: pl.DataFrame,
    plan: FineTuningConfig,
    folder: Path,
    progress: Callable[[Progress], None] = lambda _: None,
) -> FineTunedModel:
    """Train on ``rows`` (`datasets.GROUPED`) and write the best epoch's model to ``folder``.

    The caller has split rows and validation by group. A checkpoint is written to ``folder`` at the end of each epoch
    and every 500 steps; called again with the same configuration and rows, a killed training resumes from it with
    bit-identical results, and a finished one returns its result. Raises ValueError where there are no rows, or where
    the folder holds a training of another configuration or data.
    """
    if rows.is_empty() or validation.is_empty():
        raise ValueError(f"training needs rows and validation rows, got {rows.height} and {validation.height}")
    run = _FineTuning(rows, validation, plan, folder, progress)
    if (folder / RECORD).is_file():
        return run.finished()
    run.resume()
    while run.epoch < plan.epochs and run.epoch - run.best_epoch <= plan.patience:
        run.one_epoch()
    return run.finish()


def validate(folder: Path, validation: pl.DataFrame, plan: FineTuningConfig) -> float:
    """The macro-F1 of the model in ``folder`` on ``validation``, with the tokens and precision of ``plan``."""
    encoded = encode(load_tokenizer(folder, plan.max_tokens), list(validation.select("text", "entity").iter_rows()))
    return macro_f1(label_indices(validation), predict(load_network(folder), encoded, half=plan.half).argmax(1))


def epoch_rows(rows: pl.DataFrame, shares: Mapping[str, float], seed: int, epoch: int) -> pl.DataFrame:
    """The rows that one epoch samples, each with the probability that ``shares`` gives it; determined by the seed.

    Looked up for a row: ``conflict`` where it is one, else ``source/label``, else ``source``; otherwise 1.
    """
    share = np.array(
        [
            shares.get("conflict", 1.0) if conflict else shares.get(f"{source}/{label}", shares.get(source, 1.0))
            for source, label, conflict in rows.select("source", "label", "conflict").iter_rows()
        ]
    )
    return rows.filter(pl.Series(np.random.default_rng([seed, epoch]).random(len(share)) < share))


class _FineTuning:
    """The state of one training. All randomness is derived from the seed and the step or epoch."""

    def __init__(
        self,
        rows: pl.DataFrame,
        validation: pl.DataFrame,
        plan: FineTuningConfig,
        folder: Path,
        progress: Callable[[Progress], None],
    ) -> None:
        import torch

        torch.set_num_threads(plan.threads)
        self.rows, self.plan, self.folder, self.progress = rows, plan, folder, progress
        self.tokenizer: Tokenizer = load_tokenizer(plan.base, plan.max_tokens)
        self.network = _start(plan)
        self.optimizer = _optimizer(self.network, plan)
        self.average = {name: value.detach().clone() for name, value in _trained(self.network)}
        self.validation = encode(self.tokenizer, list(validation.select("text", "entity").iter_rows()))
        self.truth = label_indices(validation)
        self.steps = plan.epochs * math.ceil(epoch_rows(rows, plan.shares, plan.seed, 0).height / plan.batch)
        self.epoch = self.step = self.done = 0
        self.best, self.best_epoch, self.kept, self.kept_epoch, self.loss = -1.0, 0, -1.0, 0, math.nan

    def one_epoch(self) -> None:
        import torch

        rows = epoch_rows(self.rows, self.plan.shares, self.plan.seed, self.epoch)
        encoded = encode(self.tokenizer, list(rows.select("text", "entity").iter_rows()))
        target = torch.tensor(rows.select("p_negative", "p_neutral", "p_positive").to_numpy(), dtype=torch.float32)
        order = _batches([len(ids) for ids, _ in encoded], self.plan.batch, self.plan.seed, self.epoch)
        self.network.train()
        for batch in order[self.done :]:
            self._one_step([encoded[row] for row in batch], target[batch])
            self.done += 1
            if self.step % 500 == 0:
                self._save_checkpoint()
            if self.step % _REPORT_STEPS == 0:
                self._report(None)
        self.epoch, self.done = self.epoch + 1, 0
        self._validate()
        self._save_checkpoint()

    def _one_step(self, encoded: Sequence[Encoded], target: torch.Tensor) -> None:
        import torch

        plan = self.plan
        torch.manual_seed(plan.seed * 1_000_003 + self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["height"] * _schedule(self.step, self.steps, plan.warm_up)
        loss = self._loss(encoded, target * (1 - plan.smoothing) + plan.smoothing / target.shape[1])
        self.optimizer.zero_grad(set_to_none=True)
        cast(Any, loss).backward()
        torch.nn.utils.clip_grad_norm_([value for _, value in _trained(self.network)], 1.0)
        self.optimizer.step()
        self.step += 1
        keep = min(plan.averaging, self.step / (self.step + 10))
        with torch.no_grad():
            for name, value in _trained(self.network):
                self.average[name].lerp_(value, 1 - keep)
        self.loss = float(loss.detach())

    def _loss(self, encoded: Sequence[Encoded], target: torch.Tensor) -> torch.Tensor:
        import torch

        consistency = self.plan.consistency
        with torch.autocast("cpu", torch.bfloat16, enabled=self.plan.half):
            logits: torch.Tensor = self.network(*padded([*encoded, *encoded] if consistency else encoded))
        one, other = logits.float().log_softmax(-1).chunk(2) if consistency else (logits.float().log_softmax(-1),) * 2
        unlike = ((one.exp() - other.exp()) * (one - other)).sum(-1).mean() / 2
        return consistency * unlike - (target * (one + other)).sum(-1).mean() / 2

    def _validate(self) -> None:
        import torch

        current = {name: value.detach().clone() for name, value in _trained(self.network)}
        self.network.load_state_dict(self.average, strict=False)
        found = predict(self.network, self.validation, half=self.plan.half).argmax(1)
        score = macro_f1(self.truth, found)
        # Of epochs that validation cannot tell apart the latest is kept: the learning rate has fallen furthest.
        noise = math.sqrt(max(self.best * (1 - self.best), 0.0) / len(self.truth))
        if score > self.best - noise:
            self.kept, self.kept_epoch = score, self.epoch
            save_network(self.network, self.tokenizer, self.folder)
        if score > self.best:
            self.best, self.best_epoch = score, self.epoch
        with torch.no_grad():
            self.network.load_state_dict(current, strict=False)
        self._report(score)

    def _report(self, score: float | None) -> None:
        self.progress(Progress(self.epoch, self.step, self.steps, self.loss, score))

    def _identity(self) -> dict[str, Any]:
        weights = Path(self.plan.base) / WEIGHTS
        base = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else self.plan.base
        return {"plan": {**asdict(self.plan), "base": base}, "rows": digest(self.rows)}

    def finish(self) -> FineTunedModel:
        """Write down what was done, and let the checkpoint go."""
        how = {"epochs": self.epoch, "best_epoch": self.kept_epoch, "validation_macro_f1": self.kept}
        (self.folder / RECORD).write_text(json.dumps({**self._identity(), **how}, indent=1))
        (self.folder / CHECKPOINT).unlink(missing_ok=True)
        return FineTunedModel(self.folder, self.epoch, self.kept_epoch, self.kept)

    def finished(self) -> FineTunedModel:
        """What a training that had come to its end made here."""
        path = self.folder / RECORD
        record = json.loads(path.read_text())
        self._require_same(path, record)
        return FineTunedModel(self.folder, record["epochs"], record["best_epoch"], record["validation_macro_f1"])

    def _require_same(self, path: Path, record: Mapping[str, Any]) -> None:
        same = self._identity()
        if {name: record[name] for name in same} != same:
            raise ValueError(f"{path} is of another plan or other rows: train into another folder, or delete it")

    def _save_checkpoint(self) -> None:
        from safetensors.torch import save_file

        tensors = {f"average/{name}": value for name, value in self.average.items()}
        for name, value in _trained(self.network):
            tensors[f"weight/{name}"] = value.detach()
            for key, state in self.optimizer.state[value].items():
                tensors[f"{key}/{name}"] = state
        names = ("epoch", "step", "done", "best", "best_epoch", "kept", "kept_epoch")
        where = {name: getattr(self, name) for name in names}
        with replacing(self.folder / CHECKPOINT) as draft:
            save_file(tensors, draft, {"record": json.dumps({**self._identity(), "where": where})})

    def resume(self) -> None:
        """Restore the checkpoint in the folder, where there is one."""
        import torch
        from safetensors import safe_open

        path = self.folder / CHECKPOINT
        if not path.is_file():
            return
        with safe_open(path, "pt") as file:
            record = json.loads(file.metadata()["record"])
            self._require_same(path, record)
            with torch.no_grad():
                for name, value in _trained(self.network):
                    value.copy_(file.get_tensor(f"weight/{name}"))
                    self.average[name] = file.get_tensor(f"average/{name}")
                    keys = ("step", "exp_avg", "exp_avg_sq")
                    self.optimizer.state[value] = {key: file.get_tensor(f"{key}/{name}") for key in keys}
        for name, found in record["where"].items():
            setattr(self, name, found)


def _start(plan: FineTuningConfig) -> torch.nn.Module:
    ours = Path(plan.base) / "config.json"
    trained = ours.is_file() and "paiid_pooling" in json.loads(ours.read_text())
    network = load_network(Path(plan.base)) if trained else new_network(plan.base)
    if not plan.train_embeddings:
        for value in cast(Any, network).encoder.get_input_embeddings().parameters():
            value.requires_grad_(False)
    return network


def _trained(network: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [(name, value) for name, value in network.named_parameters() if value.requires_grad]


def _optimizer(network: torch.nn.Module, plan: FineTuningConfig) -> torch.optim.Optimizer:
    import torch

    layers = int(getattr(cast(Any, network).encoder.config, "num_hidden_layers", 0))
    groups = [
        {
            "params": [value],
            "lr": 0.0,
            "height": _height(name, layers, plan),
            "weight_decay": plan.weight_decay if value.ndim > 1 else 0.0,
        }
        for name, value in _trained(network)
    ]
    return torch.optim.AdamW(groups, fused=True)


def _height(name: str, layers: int, plan: FineTuningConfig) -> float:
    if name.startswith("head."):
        return plan.head_learning_rate
    layer = re.search(r"\.layers?\.(\d+)\.", name)
    below = layers - 1 - int(layer[1]) if layer else layers
    return plan.learning_rate * plan.layer_decay**below


def _schedule(step: int, steps: int, warm_up: float) -> float:
    rising = warm_up * steps
    return step / rising if step < rising else max(0.02, (steps - step) / steps)


def _batches(lengths: Sequence[int], size: int, seed: int, epoch: int) -> list[list[int]]:
    # Sorted within pools of forty batches: little padding, and still another order in every epoch.
    rng = random.Random(f"{seed}/{epoch}")  # noqa: S311 - the order of training rows is no secret
    order = list(range(len(lengths)))
    rng.shuffle(order)
    batches: list[list[int]] = []
    for start in range(0, len(order), size * 40):
        pool = sorted(order[start : start + size * 40], key=lambda row: lengths[row])
        batches += [pool[at : at + size] for at in range(0, len(pool), size)]
    rng.shuffle(batches)
    return batches
