"""Pictures: what people look at before they read.

In go crops, distances, IDs and decisions; out come figures, timelines, contact sheets and files
for the TensorBoard projector.
"""

from instanceid_utils.lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "figures": (
            "DIFFERENT",
            "NEUTRAL",
            "SAME",
            "on_grey",
            "plot_distances",
            "plot_history",
            "plot_map",
            "plot_roc",
            "plot_sweep",
            "show_crops",
            "show_retrieval",
        ),
        "evidence_curves": ("plot_evidence",),
        "timeline": ("draw_runs", "id_runs", "plot_runs", "plot_timeline", "show_frames"),
        "contact_sheet": ("ContactSheet",),
        "explanations": (
            "decision_html",
            "first_sightings",
            "sentence",
            "show_decision",
            "first_crops",
            "crop_of",
        ),
        "projector": ("export_projector",),
        "comparison": ("compare_runs", "owners", "plot_comparison", "sightings"),
    },
)
