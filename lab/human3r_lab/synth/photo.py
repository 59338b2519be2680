"""From light to a photograph: exposure, white balance, blur, vignette, noise, compression."""

import cv2
import numpy as np

from human3r_lab.synth.atlas import SRGB_FROM_LINEAR
from human3r_lab.synth.compiler import kernel

_STEPS = 4095
"""Steps of the tone curve from no light to white."""


def _tone_curve() -> np.ndarray:
    """(4 * _STEPS + 1,) float32: the sRGB byte of light up to four times white.

    A soft shoulder: highlights run into white instead of being cut.
    """
    light = np.arange(4 * _STEPS + 1) / _STEPS
    light = np.where(light > 0.7, 1.0 - 0.3 * np.exp(-(light - 0.7) / 0.3), light)
    return SRGB_FROM_LINEAR[(light * (len(SRGB_FROM_LINEAR) - 1)).astype(int)].astype(np.float32)


_CURVE = _tone_curve()


class Photographer:
    """Develops the frames of one sequence the same way.

    Args:
        rng: chooses the camera's properties and makes its noise.
        is_easy: a better camera.
    """

    def __init__(self, rng: np.random.Generator, is_easy: bool) -> None:
        self._rng = rng
        amount = 0.6 if is_easy else 1.0
        self._brightness = rng.uniform(0.2, 0.42)
        self._balance = (1 + amount * rng.normal(0, 0.05, 3)).astype(np.float32)
        self._vignette = amount * rng.uniform(0, 0.35)
        self._blur = rng.uniform(0, 0.9) * amount if rng.random() < 0.5 else 0.0
        self._noise = amount * rng.uniform(0.3, 5.0)
        self._grey = rng.uniform(0.0, 0.3) * amount
        self._quality = int(rng.integers(45, 96)) if rng.random() < 0.5 * amount else None
        self._gain: float | None = None

    def develop(self, light: np.ndarray) -> np.ndarray:
        """A (H, W, 3) float32 picture of linear light as uint8 sRGB."""
        if self._gain is None:
            self._gain = self._expose(light)
        if self._blur > 0.2:
            light = cv2.GaussianBlur(light, (0, 0), self._blur * light.shape[1] / 300)
        noise = self._rng.standard_normal(light.shape, np.float32)
        gain = (self._gain * self._balance).astype(np.float32)
        image = np.empty(light.shape, np.uint8)
        _develop(light, gain, self._vignette, self._grey, self._noise, noise, _CURVE, image)
        return image if self._quality is None else self._compress(image)

    def _expose(self, light: np.ndarray) -> float:
        """Gain that brings the usual brightness to the wanted one, bright sky aside."""
        grey = np.minimum(light.mean(-1), 1.0)
        usual = 0.5 * float(np.median(grey)) + 0.5 * float(grey.mean())
        return self._brightness / max(usual, 0.02)

    def _compress(self, image: np.ndarray) -> np.ndarray:
        _, data = cv2.imencode(
            ".jpg",
            np.ascontiguousarray(image[..., ::-1]),
            [cv2.IMWRITE_JPEG_QUALITY, self._quality],
        )
        return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])  # pyright: ignore[reportOptionalSubscript]


@kernel()
def _develop(light, gain, vignette, grey, noise_bytes, noise, curve, image):
    """Fill ``image``: falloff towards the corners, highlights, sRGB, saturation, noise."""
    height, width, _ = light.shape
    steps, brightest = np.float32(_STEPS), np.float32(len(curve) - 1)
    grey, noise_bytes = np.float32(grey), np.float32(noise_bytes)
    half, black, white = np.float32(0.5), np.float32(0.0), np.float32(255.0)
    for row in range(height):
        y = (2 * row - height) / width
        for column in range(width):
            x = (2 * column - width) / width
            scale = np.float32(1.0 - vignette * (x * x + y * y) / 1.5) * steps
            r = curve[np.uint32(min(light[row, column, 0] * gain[0] * scale, brightest))]
            g = curve[np.uint32(min(light[row, column, 1] * gain[1] * scale, brightest))]
            b = curve[np.uint32(min(light[row, column, 2] * gain[2] * scale, brightest))]
            mean = grey * (r + g + b) / np.float32(3.0) + half
            keep = np.float32(1.0) - grey
            r = keep * r + mean + noise_bytes * noise[row, column, 0]
            g = keep * g + mean + noise_bytes * noise[row, column, 1]
            b = keep * b + mean + noise_bytes * noise[row, column, 2]
            image[row, column, 0] = np.uint8(min(max(r, black), white))
            image[row, column, 1] = np.uint8(min(max(g, black), white))
            image[row, column, 2] = np.uint8(min(max(b, black), white))
