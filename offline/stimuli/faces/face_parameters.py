"""The face's parameters: what a stimulus face can vary in, and which ROI carries it.

For the renderer (which draws them), the simulator (whose ROIs are tuned to the latent dimensions
that they are read from) and reports (one correlation per parameter). Values are standard normal
over the stimuli; a parameter saturates softly, because a decoded value is shrunk to about half
of the true one and must still show on the same side. Must not know torch, nor how a face is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FaceParameter:
    """One way in which faces differ.

    Attributes
    ----------
    name : str
        Unique name, in words.
    roi : str
        ``'V1'`` (light and colour), ``'V4'`` (shape and hair) or ``'IT'`` (identity and pose):
        the ROI whose latent dimensions the parameter is read from.
    about : str
        What a positive value does.
    gain : float
        Slope of the soft saturation ``tanh(gain * p)`` at the mean face.
    """

    name: str
    roi: str
    about: str
    gain: float = 1.2


PARAMETERS: tuple[FaceParameter, ...] = (
    FaceParameter("light_x", "V1", "light from the picture's right", 1.5),
    FaceParameter("light_y", "V1", "light from below", 1.3),
    FaceParameter("light_warmth", "V1", "warm light, cool shadow", 1.4),
    FaceParameter("fill_light", "V1", "paler shadows"),
    FaceParameter("contrast", "V1", "harder tones"),
    FaceParameter("background_warmth", "V1", "background from blue to amber", 1.5),
    FaceParameter("background_green", "V1", "background from rose to green", 1.5),
    FaceParameter("background_brightness", "V1", "brighter background", 1.4),
    FaceParameter("background_gradient", "V1", "background brighter at the top than below", 1.4),
    FaceParameter("skin_tone", "V1", "lighter skin", 1.3),
    FaceParameter("skin_warmth", "V1", "rosier skin"),
    FaceParameter("hair_lightness", "V1", "lighter hair", 1.4),
    FaceParameter("hair_warmth", "V1", "redder hair", 1.3),
    FaceParameter("clothing_hue", "V1", "clothing from blue to red", 1.5),
    FaceParameter("face_width", "V4", "wider face"),
    FaceParameter("jaw_width", "V4", "wider, squarer jaw"),
    FaceParameter("chin_length", "V4", "longer chin"),
    FaceParameter("cheek_fullness", "V4", "fuller cheeks"),
    FaceParameter("hair_volume", "V4", "more hair around the skull", 1.3),
    FaceParameter("hair_length", "V4", "longer hair", 1.5),
    FaceParameter("fringe", "V4", "hair over the forehead", 1.4),
    FaceParameter("parting", "V4", "parting on the picture's right", 1.5),
    FaceParameter("hair_waviness", "V4", "wavier hair", 1.3),
    FaceParameter("brow_thickness", "V4", "thicker brows"),
    FaceParameter("ear_size", "V4", "larger ears"),
    FaceParameter("neck_width", "V4", "wider neck and shoulders"),
    FaceParameter("neckline", "V4", "deeper neckline"),
    FaceParameter("yaw", "IT", "head turned to the picture's right", 1.4),
    FaceParameter("pitch", "IT", "head lowered", 1.3),
    FaceParameter("roll", "IT", "head tilted clockwise", 1.3),
    FaceParameter("eye_spacing", "IT", "eyes further apart"),
    FaceParameter("eye_size", "IT", "larger eyes"),
    FaceParameter("eye_tilt", "IT", "outer corners of the eyes raised"),
    FaceParameter("iris_hue", "IT", "irises from brown to blue", 1.4),
    FaceParameter("nose_length", "IT", "longer nose"),
    FaceParameter("nose_width", "IT", "wider nose"),
    FaceParameter("mouth_width", "IT", "wider mouth"),
    FaceParameter("lip_fullness", "IT", "fuller lips"),
    FaceParameter("smile", "IT", "corners of the mouth raised", 1.4),
    FaceParameter("mouth_open", "IT", "mouth open", 1.3),
    FaceParameter("brow_angle", "IT", "inner ends of the brows raised"),
    FaceParameter("glasses", "IT", "glasses", 1.4),
    FaceParameter("beard", "IT", "beard", 1.3),
    FaceParameter("age", "IT", "older: lines, grey hair", 1.3),
)
"""Every parameter, in the order of the renderer's parameter axis: V1's, V4's, then IT's."""
