"""Archive: many videos in, one set of identities out.

In go videos, each tracked as a task of its own, on one machine or many; out come the results of
each video with the IDs of the archive, and who was seen where. A folder holds it all:

==========================  ================================================================
``archive.json``            weights, threshold, settings, and the videos: key, source, masks,
                            hash, frames, error of what could not be tracked. ``complete`` is
                            false while what follows is being written anew: nothing reads it
                            then but ``archive build``
``tracks/KEY/``             a video as tracked, with local IDs; whole, or not there
``tracks/KEY/tracks.npz``   `tracks.Tracks`: of each local ID when it is seen and some views
``tracks/KEY/pictures/``    ``LOCAL_0.jpg`` (the best view), ``LOCAL_1.jpg``, ...: crops
``tracks/KEY/spool/``       masks and decisions, from which results are written
``tracks/KEY/job.json``     what it was made from, hash of that
``videos/KEY/``             the results of `app.track_video`, with the archive's IDs; whole
``identities.csv``          identity, n_videos, n_sightings, n_frames, first_video, first_local_id
``sightings.csv``           identity, video (a key), local_id, first_frame, last_frame,
                            first_time, last_time (seconds in the video), n_frames, confidence
                            (that it is one with the rest of its identity; empty if it is alone)
``archive.gallery``         a `gallery.Gallery` of the identities
``fixes.json``              what a person decided, by (key, local ID): outlives all else
``report.html``             who was seen where, to look at and search; one file, no network
``renumbered.csv``          old and new identity, where the last build changed a number
==========================  ================================================================

A sighting is one local ID in one video; a person, or a constraint, names it by ``(key, local ID)``.
Keys are the name of the video and 12 digits of the hash of its content and its masks.
"""

from instanceid_utils.lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "folder": ("Archive", "Sighting"),
        "tracks": ("Tracks",),
        "joining": ("Joined", "JoinLimits", "join"),
        "fixes": ("read_fixes", "write_fixes"),
        "report": ("write_report",),
        "explaining": ("compare_sightings", "plot_joins"),
        "search": ("Found", "Match", "find"),
        "corrections": ("merge", "split"),
        "build": ("BuildResult", "Stopped", "build_archive"),
    },
)
