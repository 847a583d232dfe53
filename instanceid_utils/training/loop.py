"""Train the embedding network on P x K batches: epochs, validation, checkpoints, resuming."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from instanceid_utils.atomic_files import write_atomically
from instanceid_utils.data.segment_sets import SegmentSet
from instanceid_utils.embedding.network import build_network
from instanceid_utils.embedding.tensorflow import tf
from instanceid_utils.evaluation.retrieval import evaluate_set
from instanceid_utils.training.augmentation import augment
from instanceid_utils.training.degradation import degrade
from instanceid_utils.training.look_alikes import LookAlikes
from instanceid_utils.training.losses import fraction_active, get_loss, threshold_loss
from instanceid_utils.training.recipe import Recipe
from instanceid_utils.training.sampling import PKSampler

logger = logging.getLogger(__name__)


@dataclass
class TrainingRun:
    """What a training run has come to.

    Attributes
    ----------
    network : tf.keras.Model
        With the averaged weights of the best epoch.
    history : list of dict
        One row an epoch: epoch, loss, active, rank1, map.
    recipe : Recipe
    """

    network: tf.keras.Model
    history: list = field(default_factory=list)
    recipe: Recipe = field(default_factory=Recipe)

    @property
    def best(self):
        """The row of the epoch with the highest validation mAP."""
        return max(self.history, key=lambda row: row["map"])


class Trainer:
    """The moving parts of a run: network, its running average, optimiser, loss."""

    def __init__(self, recipe: Recipe, start=None):
        tf.keras.utils.set_random_seed(recipe.seed)
        self.recipe = recipe
        self.network = build_network(
            **recipe.architecture, backbone_weights=recipe.backbone_weights
        )
        if start is not None:
            _copy_weights(start, self.network)
        self.averaged = build_network(**recipe.architecture)
        self.averaged.set_weights(self.network.get_weights())
        self.threshold = tf.Variable(0.8, name="threshold")
        steps = recipe.epochs * recipe.batches_per_epoch
        schedule = tf.keras.optimizers.schedules.CosineDecay(
            0.0,
            steps,
            alpha=0.01,
            warmup_target=recipe.learning_rate,
            warmup_steps=max(1, steps // 20),
        )
        self.optimizer = tf.keras.optimizers.AdamW(schedule, weight_decay=1e-3, clipnorm=5.0)
        self.variables = [*self.network.trainable_variables, self.threshold]
        self.optimizer.build(self.variables)
        self.loss = get_loss(recipe.loss, recipe.margin, seed=recipe.seed)
        size = (recipe.n_identities * recipe.n_instances, recipe.crop_size, recipe.crop_size, 4)
        self.step = tf.function(
            self._step,
            input_signature=[tf.TensorSpec(size, tf.float32), tf.TensorSpec(size[:1], tf.int64)],
        )

    def _step(self, crops, labels):
        recipe = self.recipe
        with tf.GradientTape() as tape:
            embeddings = self.network(crops, training=True)
            loss = self.loss(labels, embeddings)
            total = loss
            if recipe.threshold_weight:
                total += recipe.threshold_weight * threshold_loss(
                    labels, embeddings, self.threshold
                )
        gradients = tape.gradient(total, self.variables, unconnected_gradients="zero")
        self.optimizer.apply_gradients(zip(gradients, self.variables))
        # A young average would remember the untrained weights: let it start fast.
        step = tf.cast(self.optimizer.iterations, tf.float32)
        momentum = tf.minimum(recipe.averaging, (1 + step) / (10 + step))
        for average, weight in zip(self.averaged.weights, self.network.weights):
            average.assign(momentum * average + (1 - momentum) * weight)
        return loss, fraction_active(labels, embeddings, recipe.margin), embeddings

    def epoch(self, data: SegmentSet, epoch: int, progress=True):
        """Train for one epoch; returns mean loss and mean share of active triplets."""
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, epoch])
        alike = LookAlikes(np.unique(data.identities)) if recipe.look_alikes else None
        sampler = PKSampler(
            data.identities,
            recipe.n_identities,
            recipe.n_instances,
            rng,
            recipe.batches_per_epoch,
            run=recipe.run,
            look_alikes=alike,
        )
        values = []
        bar = tqdm(
            sampler,
            desc=f"epoch {epoch + 1}",
            total=len(sampler),
            disable=not progress,
            leave=False,
        )
        for batch in bar:
            crops = data.crops[batch]
            if recipe.degradation:
                crops = degrade(crops, rng, recipe.degradation)
            crops = augment(crops, rng) if recipe.augmentation else crops.astype(np.float32)
            loss, active, embeddings = self.step(crops, data.identities[batch])
            values.append((float(loss), float(active)))
            if alike:
                alike.remember(data.identities[batch], embeddings.numpy())
        return np.mean(values, 0)


def _copy_weights(source, target):
    shapes = [[tuple(w.shape) for w in network.weights] for network in (source, target)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            "start: expected a network of the recipe's architecture; give the recipe its widths, "
            "dim and n_bins"
        )
    target.set_weights(source.get_weights())


def embed_with(network, crops, batch=256):
    """Embed crops (N, S, S, 4) with a bare network; returns (N, D) float32."""
    parts = [
        network(crops[i : i + batch], training=False).numpy() for i in range(0, len(crops), batch)
    ]
    return np.concatenate(parts)


def train(
    data,
    validation,
    recipe,
    run_dir: str | os.PathLike,
    *,
    start=None,
    resume: bool = True,
    progress: bool = True,
):
    """Train a network, validating on unseen identities after every epoch.

    Parameters
    ----------
    data, validation : SegmentSet
        With no identity in common.
    recipe : Recipe
    run_dir : path
        Holds checkpoints, the history (``history.json``) and TensorBoard logs.
    start : tf.keras.Model, optional
        Fine-tune from its weights, for instance ``Embedder.pretrained().network``; by default
        they are drawn. A smaller learning rate is in place then.
    resume : bool
        Go on from the last whole epoch in ``run_dir``, if it holds one of the same recipe. The
        result is the same as that of a run without a stop.
    progress : bool
        Show bars.

    Returns
    -------
    TrainingRun

    Raises
    ------
    ValueError
        If an identity is in both sets, or ``run_dir`` holds a run of another recipe.
    FloatingPointError
        If the loss is no longer finite; the last checkpoint is whole.
    """
    shared = np.intersect1d(data.identities, validation.identities)
    if len(shared):
        raise ValueError(f"identities in both training and validation: {shared[:5].tolist()}")
    run_dir = Path(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    trainer, history = Trainer(recipe, start), []
    best = build_network(**recipe.architecture)
    best.set_weights(trainer.averaged.get_weights())
    checkpoint = tf.train.Checkpoint(
        network=trainer.network,
        averaged=trainer.averaged,
        best=best,
        optimizer=trainer.optimizer,
        threshold=trainer.threshold,
    )
    if resume:
        history = _restore(checkpoint, run_dir, recipe)
    writer = tf.summary.create_file_writer(str(run_dir / "tensorboard"))
    for epoch in range(len(history), recipe.epochs):
        if _stalled(history, recipe.patience):
            logger.info("stopped after epoch %d: validation mAP stands still", epoch)
            break
        loss, active = trainer.epoch(data, epoch, progress)
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"epoch {epoch + 1}: the loss is {loss}; lower the learning rate"
            )
        row = {"epoch": epoch + 1, "loss": float(loss), "active": float(active)}
        row.update(_validate(trainer.averaged, validation))
        if not history or row["map"] > max(r["map"] for r in history):
            best.set_weights(trainer.averaged.get_weights())
        history.append(row)
        _keep(checkpoint, run_dir, recipe, history)
        with writer.as_default(step=epoch + 1):
            for name, value in row.items():
                tf.summary.scalar(name, value)
        logger.info("epoch %(epoch)d: loss %(loss).4f, rank-1 %(rank1).3f, mAP %(map).3f", row)
    writer.close()
    return TrainingRun(best, history, recipe)


def _stalled(history, patience):
    if not patience or len(history) <= patience:
        return False
    scores = [row["map"] for row in history]
    return max(scores[-patience:]) <= max(scores[:-patience])


def _validate(network, validation):
    report = evaluate_set(partial(embed_with, network), validation, n_bootstrap=0)
    return {"rank1": float(report.rank1), "map": float(report.map), "auc": float(report.auc)}


def _recipe_dict(recipe):
    return json.loads(json.dumps(asdict(recipe)))


def _keep(checkpoint, run_dir, recipe, history):
    """Write a checkpoint, then name it in the state file: a stop in between loses one epoch."""
    prefix = checkpoint.write(str(run_dir / f"checkpoint-{len(history) % 2}"))
    state = {"checkpoint": Path(prefix).name, "recipe": _recipe_dict(recipe), "history": history}
    write_atomically(run_dir / "history.json", json.dumps(state, indent=1) + "\n")


def _restore(checkpoint, run_dir, recipe):
    """Fill the checkpoint from ``run_dir`` if it holds a run of this recipe; its history."""
    path = run_dir / "history.json"
    if not path.exists():
        return []
    state = json.loads(path.read_text())
    if state["recipe"] != _recipe_dict(recipe):
        raise ValueError(
            f"{path}: holds a run of another recipe; name another folder or resume=False"
        )
    checkpoint.read(str(run_dir / state["checkpoint"])).assert_existing_objects_matched()
    return state["history"]
