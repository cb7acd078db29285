"""The sentiment models: labelled texts, fine-tuned encoder, ensemble weights, and their gates; started manually."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from paiid_pipeline import quality
from paiid_pipeline.defs.cadence import CADENCE_TAG
from paiid_pipeline.defs.factories import OWNERS, background_job
from paiid_pipeline.defs.metadata import bullets, picture, table
from paiid_pipeline.defs.resources import PipelineResource
from paiid_pipeline.defs.row_checks import row_check_result
from paiid_pipeline.ml.model_metrics import performance
from paiid_pipeline.ml.text.custom_bert import Choice, Registered, train_custom_bert
from paiid_pipeline.ml.text.dataset_store import load_texts, make_texts, save_texts, split_held_out
from paiid_pipeline.ml.text.ensemble import fit_ensemble
from paiid_pipeline.ml.text.evaluation import summary
from paiid_pipeline.ml.text.gate import promote

_TAGS = {"layer": "model", "cadence": "manual"}
_LONGEST = "43200"
"""Seconds: a training takes hours on two cores; when it is started again, it resumes from its checkpoint."""


class TextTrainingConfig(dg.Config):
    """Base encoder, seed and epochs."""

    base: str | None = Field(
        default=None, description="A folder or hub name of an encoder; by default the installed MiniLM-L6."
    )
    seed: int = 0
    epochs: int | None = Field(default=None, ge=1, description="Of each training stage; by default the recipe's.")


@dg.asset(group_name="models", owners=OWNERS, kinds={"polars", "parquet"}, tags=_TAGS)
def sentiment_dataset(pipeline: PipelineResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Labelled texts of all sources in the data folder: normalised, deduplicated, grouped before any split, hashed.

    Personal data is masked before anything is stored. Near-duplicates share a group, and a group a fold; fold 0
    is held out of every training. Unlabelled news is stored beside them, for pseudo-labels.
    """
    try:
        texts = make_texts(pipeline.settings.data_dir)
    except (LookupError, ValueError) as error:
        raise dg.Failure(str(error)) from error
    save_texts(texts, pipeline.store.texts)
    data = texts.labelled
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": data.rows.height,
            "rows by source": dg.MetadataValue.json(data.sources),
            "rows by label": dg.MetadataValue.json(dict(data.rows["label"].value_counts(sort=True).iter_rows())),
            "groups": data.rows["group"].n_unique(),
            "held out": split_held_out(data.rows).test.height,
            "doubles left out": data.doubles,
            "contradictions left out": data.contradictions,
            "sha256": data.sha256,
            "articles without labels": texts.articles.height,
            "folder": dg.MetadataValue.path(pipeline.store.texts),
        }
    )


@dg.asset(group_name="models", deps=[sentiment_dataset], owners=OWNERS, kinds={"pytorch", "onnx", "mlflow"}, tags=_TAGS)
def custom_bert(
    context: dg.AssetExecutionContext, config: TextTrainingConfig, pipeline: PipelineResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """An encoder fine-tuned on all but the held-out fold, quantised to int8, signed and registered.

    An interrupted training resumes from its checkpoint when started with the same configuration and dataset.
    """
    choice = Choice(config.base, config.seed, config.epochs)
    try:
        texts = load_texts(pipeline.store.texts)
        made = train_custom_bert(texts, choice, pipeline.store, context.log.info)
    except (LookupError, ValueError) as error:
        raise dg.Failure(str(error)) from error
    return dg.MaterializeResult(metadata=_metadata(made))


@dg.asset(group_name="models", deps=[custom_bert], owners=OWNERS, kinds={"mlflow"}, tags=_TAGS)
def sentiment_ensemble(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Weights and temperature of the installed members, fitted on validation rows and compared with the default's.

    The members are the champions: a custom BERT that failed its gate has no weight.
    """
    try:
        made = fit_ensemble(load_texts(pipeline.store.texts).labelled, pipeline.store, context.log.info)
    except (LookupError, ValueError) as error:
        raise dg.Failure(str(error)) from error
    return dg.MaterializeResult(metadata=_metadata(made))


@dg.asset_check(
    asset=sentiment_dataset,
    name="sound_rows",
    blocking=True,
    description="Every row satisfies: " + "; ".join(quality.LABELLED_TEXTS) + ".",
)
def sentiment_dataset_is_sound(pipeline: PipelineResource) -> dg.AssetCheckResult:
    return row_check_result(load_texts(pipeline.store.texts).labelled.rows, quality.LABELLED_TEXTS)


def promotion(asset: dg.AssetsDefinition, model: str) -> dg.AssetChecksDefinition:
    """The gate of the newest version: passed, it becomes the champion and is installed; failed, nothing changes."""

    @dg.asset_check(
        asset=asset,
        name="promotion",
        blocking=True,
        description="Significantly better on held-out rows than the champion, VADER and the majority class. "
        "A version that passes is deployed at once; one that fails stays registered, and the champion in use.",
    )
    def gate(context: dg.AssetCheckExecutionContext, pipeline: PipelineResource) -> dg.AssetCheckResult:
        store = pipeline.store
        version = store.registry.versions(model)[0]
        newest = version.version
        rows = split_held_out(load_texts(store.texts).labelled.rows).test
        verdict = promote(model, newest, store, rows)
        measured = performance(version, verdict, pipeline.clock.now(), context.run.run_id)
        pipeline.warehouse.model_metrics.write(measured)
        return dg.AssetCheckResult(
            passed=verdict.promote,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"version {newest} {'is' if verdict.promote else 'is not'} the champion",
            metadata={"version": newest, "why": bullets(verdict.reasons)},
        )

    return gate


custom_bert_promotion = promotion(custom_bert, "custom_bert")
sentiment_ensemble_promotion = promotion(sentiment_ensemble, "ensemble")

sentiment_training_job = background_job(
    "sentiment_training_job",
    sentiment_dataset,
    custom_bert,
    sentiment_ensemble,
    tags={CADENCE_TAG: "sentiment_training", "dagster/max_runtime": _LONGEST},
    description="Manual: labelled texts, fine-tuned encoder, ensemble weights, and the gates of both models.",
)


def _metadata(made: Registered) -> Mapping[str, Any]:
    version = made.version
    return {
        "version": version.version,
        "measured": table(pl.DataFrame(summary(made.measured))),
        **{name: picture(name, image) for name, image in made.plots.items()},
        **made.facts,
        "held-out texts": int(version.metrics["rows"]),
        **{name: version.metrics[name] for name in ("accuracy", "macro_f1", "ece")},
        "data sha256": version.data_sha256,
        "digest": version.digest,
        "MLflow run": version.run_id,
    }
