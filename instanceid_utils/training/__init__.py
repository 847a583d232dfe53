"""Training: from crops with identities to weights.

In go crops in P x K batches; out comes a network trained with triplet loss, with checkpoints to
go on from, and a table of what each choice is worth.
"""

from instanceid_utils.lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "losses": ("LOSSES", "fraction_active", "get_loss"),
        "look_alikes": ("LookAlikes",),
        "sampling": ("PKSampler", "random_triplets"),
        "augmentation": ("augment",),
        "degradation": ("Degradation", "degrade"),
        "recipe": ("PROFILES", "Recipe", "profile"),
        "adapting": ("Tracklets", "adapt", "follow", "recalibrate"),
        "loop": ("Trainer", "TrainingRun", "embed_with", "train"),
        "ablation": ("METRICS", "VARIANTS", "read_table", "run_variant"),
    },
)
