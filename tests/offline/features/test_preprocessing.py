"""Against the steps written out with Pillow and numpy."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from b2g_rt.errors import FeatureError
from offline.features.preprocessing import (
    imagenet,
    scaled,
    timm_transforms,
    torchvision_transforms,
    vgg_face,
)
from offline.features.torchvision_operators import import_torchvision

MEAN, SD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def middle(picture, resize, crop, how):
    """The shorter side resized, the middle square cut out: float64, axes (row, col, rgb), 0..255."""
    image = Image.fromarray(picture)
    short = min(image.size)
    width, height = (int(resize * n / short) for n in image.size)
    left, top = round((width - crop) / 2), round((height - crop) / 2)
    resized = image.resize((width, height), how)
    return np.asarray(resized.crop((left, top, left + crop, top + crop)), np.float64)


def test_the_papers_vgg16_sees_resize_224_and_the_usual_mean_and_sd(photographs):
    found = imagenet().batch(photographs).numpy()
    assert found.shape == (3, 3, 224, 224)
    assert found.dtype == np.float32
    for picture, seen in zip(photographs, found, strict=True):
        wanted = (middle(picture, 224, 224, Image.Resampling.BILINEAR) / 255 - MEAN) / SD
        np.testing.assert_allclose(seen, wanted.transpose(2, 0, 1), rtol=0, atol=1e-6)


def test_of_a_square_picture_nothing_is_cut_off():
    border = np.full((448, 448, 3), 255, np.uint8)
    border[8:-8, 8:-8] = 0
    seen = scaled(224, (0, 0, 0), (1, 1, 1)).batch([border]).numpy()[0]
    assert (seen[:, :3] > 0.9).all()
    assert (seen[:, -3:] > 0.9).all()
    assert (seen[:, 6:-6, 6:-6] == 0).all()


def test_vgg_face_sees_lanczos_0_to_255_minus_the_means_blue_first(photographs):
    found = vgg_face().batch(photographs).numpy()
    assert found.dtype == np.float32
    for picture, seen in zip(photographs, found, strict=True):
        rgb = middle(picture, 224, 224, Image.Resampling.LANCZOS)
        wanted = rgb[..., ::-1] - np.array([93.5940, 104.7624, 129.1863])
        np.testing.assert_allclose(seen, wanted.transpose(2, 0, 1), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("paper", "wanted"),
    [
        # The published network: blue, green, red.
        (False, (0 - 93.5940, 0 - 104.7624, 255 - 129.1863)),
        # The notebook: the means of blue, green, red from red, green, blue.
        (True, (255 - 93.5940, 0 - 104.7624, 0 - 129.1863)),
    ],
    ids=["published", "paper"],
)
def test_the_order_of_colours_of_vgg_face_is_not_confused_with_the_notebooks(paper, wanted):
    red = np.zeros((300, 300, 3), np.uint8)
    red[..., 0] = 255
    preprocessing = vgg_face(paper=paper)
    np.testing.assert_allclose(preprocessing.batch([red])[0, :, 7, 7], wanted, rtol=1e-6)
    assert preprocessing.description["order"] == ("rgb" if paper else "bgr")


@pytest.mark.parametrize("side", [None, 96])
def test_a_torchvision_network_sees_what_its_weights_come_with(photographs, side):
    models = import_torchvision().models
    entry = models.EfficientNet_B0_Weights.DEFAULT
    # 224 of 256, bicubic.
    crop, resize = (224, 256) if side is None else (96, 110)
    preprocessing = torchvision_transforms(entry.transforms, side, "torchvision:efficientnet_b0")
    found = preprocessing.batch(photographs).numpy()
    for picture, seen in zip(photographs, found, strict=True):
        wanted = (middle(picture, resize, crop, Image.Resampling.BICUBIC) / 255 - MEAN) / SD
        np.testing.assert_allclose(seen, wanted.transpose(2, 0, 1), rtol=0, atol=1e-6)
    told = preprocessing.description
    assert (told["resize"], told["crop"], told["interpolation"]) == (resize, crop, "bicubic")


def test_a_network_that_segments_sees_the_middle_square(photographs):
    models = import_torchvision().models
    entry = models.segmentation.LRASPP_MobileNet_V3_Large_Weights.DEFAULT
    found = torchvision_transforms(entry.transforms, 64, "x").batch(photographs).numpy()
    wanted = (middle(photographs[1], 64, 64, Image.Resampling.BILINEAR) / 255 - MEAN) / SD
    np.testing.assert_allclose(found[1], wanted.transpose(2, 0, 1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["R3D_18_Weights", "MViT_V1_B_Weights"])
def test_a_network_of_films_is_refused(name):
    entry = getattr(import_torchvision().models.video, name).DEFAULT
    with pytest.raises(FeatureError, match="torchvision:film': its input is no single picture"):
        torchvision_transforms(entry.transforms, None, "torchvision:film")


@pytest.mark.parametrize("side", [None, 96])
def test_a_timm_network_sees_its_own_crop_interpolation_mean_and_sd(photographs, side):
    import_torchvision()
    import timm

    # 95 % of the shorter side, bicubic.
    crop = side or 224
    preprocessing = timm_transforms(timm.create_model("resnet18.a1_in1k"), side)
    found = preprocessing.batch(photographs).numpy()
    for picture, seen in zip(photographs, found, strict=True):
        pixels = middle(picture, int(crop / 0.95), crop, Image.Resampling.BICUBIC)
        wanted = (pixels / 255 - MEAN) / SD
        np.testing.assert_allclose(seen, wanted.transpose(2, 0, 1), rtol=0, atol=1e-6)
    assert preprocessing.description["crop_share"] == 0.95
