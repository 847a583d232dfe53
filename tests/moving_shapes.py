"""A stand-in for a video and for an embedder, for tests that need no network."""

import cv2
import numpy as np

from instanceid_utils.data.image_files import write_label_map

COLOURS = ((200, 40, 40), (40, 60, 200), (40, 190, 60), (210, 200, 50))
HEIGHT, WIDTH = 48, 80


class HueEmbedder:
    """Histograms of three channels, as square roots: alike objects are near, none is equal."""

    dim, crop_size, margin, threshold, weights_sha256 = 48, 16, 0.1, 0.5, "hue"

    def __init__(self):
        self.n_crops = 0

    def embed_crops(self, crops):
        self.n_crops += len(crops)
        vectors = np.empty((len(crops), 3, 16), np.float32)
        for vector, crop in zip(vectors, crops):
            inside = crop[crop[..., 3] > 0][:, :3] >> 4
            vector[:] = [np.bincount(channel, minlength=16) for channel in inside.T]
        vectors = np.sqrt(vectors.reshape(-1, 48))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Video:
    """Noisy discs that drift to the right; disc ``n`` (from 1) is there in ``seen[n]``."""

    def __init__(self, n_frames=8, seen=((0, 99), (0, 99), (4, 99)), seed=0):
        self.n_frames, self.seen, self.seed = n_frames, seen, seed
        self.n_decoded = 0

    def __len__(self):
        return self.n_frames

    def label_map(self, t):
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        for n, (start, stop) in enumerate(self.seen, 1):
            if start <= t < stop:
                x, y = 10 + 18 * (n - 1) + t, 14 + 8 * (n % 3)
                labels[np.hypot(rows - y, columns - x) < 7] = n
        return labels

    def __getitem__(self, t):
        self.n_decoded += 1
        rng = np.random.default_rng([self.seed, t])
        labels = self.label_map(t)
        frame = rng.integers(90, 110, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        for n, colour in enumerate(COLOURS[: len(self.seen)], 1):
            inside = labels == n
            noisy = np.array(colour) + rng.normal(0, 12, (inside.sum(), 3))
            frame[inside] = noisy.clip(0, 255).astype(np.uint8)
        return frame

    @property
    def label_maps(self):
        return [self.label_map(t) for t in range(len(self))]


def write_folder(folder, video, suffix=".png", masks_every=1):
    """Write the frames of ``video`` and palette masks for every ``masks_every``-th of them."""
    frames, masks = folder / "frames", folder / "masks"
    frames.mkdir(parents=True)
    masks.mkdir()
    for t in range(len(video)):
        cv2.imwrite(str(frames / f"{t:05d}{suffix}"), video[t][..., ::-1])
        if t % masks_every == 0:
            write_label_map(masks / f"{t:05d}.png", video.label_map(t))
    return frames, masks
