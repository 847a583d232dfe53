"""Evaluation: how well instances are told apart, and how well identities are kept.

In go embeddings or IDs with the truth; out come retrieval metrics with intervals, tracking
metrics, the regimes of the identity benchmark with its baseline, the faults that models make,
and the calibrated threshold.
"""

from instanceid_utils.lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "pairs": (
            "MIN_GAP",
            "pair_distances",
            "pairwise_distances",
            "roc_curve",
            "separation",
            "valid_pairs",
            "verification",
        ),
        "retrieval": (
            "METRICS",
            "Confusion",
            "RetrievalReport",
            "evaluate_beside_baselines",
            "evaluate_retrieval",
            "format_table",
            "nearest_neighbours",
            "positive_ranks",
        ),
        "identity": ("MORE_COLUMNS", "IdentityScorer", "mask_iou", "score_table"),
        "overlaps": ("Overlaps", "box_overlaps", "mask_overlaps"),
        "detections": (
            "Watched",
            "final_ids",
            "refined_ids",
            "score_watched",
            "watch",
            "watch_boxes",
        ),
        "mask_faults": ("FAULTS", "FaultyModel", "MaskFaults", "simulate"),
        "evidence_fit": ("candidate_pairs", "fit_evidence", "true_identities"),
        "joins": ("JoinScores", "score_joins"),
        "regimes": ("REGIMES", "score_regime"),
        "iou_tracker": ("IouTracker",),
        "conditions": ("CONDITIONS", "cut_conditions", "score_conditions"),
        "gallery_sizes": ("as_masks_and_boxes", "thresholds_by_size"),
        "growing_gallery": ("score_archive",),
        "calibration": ("calibrate", "calibrate_dataset", "calibrate_set"),
        "repeated_decisions": ("contest", "mistakes", "record", "replay", "score_updates", "sweep"),
    },
)
