"""Messages: what is sent comes back the same; everything else is refused by name."""

from __future__ import annotations

import contextlib

import msgpack  # type: ignore[import-untyped]
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.contracts import messages as m
from b2g_rt.errors import MessageError
from tests.rt.outputs import made_messages as made

ONE_OF_EACH = {
    "frame": made.frame(1, image=True),
    "dropped frame": made.dropped(2),
    "stimulus": made.stimulus(),
    "trial": made.trial(),
    "encoding": made.encoding(),
    "event": made.event(),
    "activity": made.activity(),
    "status": made.status(),
}

MESSAGE_TYPES = [
    m.FrameMessage,
    m.StimulusMessage,
    m.TrialMessage,
    m.EncodingMessage,
    m.EventMessage,
    m.ActivityMessage,
    m.StatusMessage,
]


def structs(kind: type) -> st.SearchStrategy:
    """Any message of a type, field by field from its annotations."""
    integers = st.integers(-(2**63), 2**63 - 1)
    st.register_type_strategy(int, integers)
    st.register_type_strategy(float, st.floats(allow_nan=False))
    parts = (m.Image, m.Stamps, m.Flags, m.Quantiles, m.Ledger, m.ChannelLayout, m.Agreement)
    for part in parts:
        st.register_type_strategy(part, _of_fields(part))
    return _of_fields(kind).map(lambda message: msgspec.structs.replace(message, version=m.VERSION))


def _of_fields(kind: type) -> st.SearchStrategy:
    fields = {f.name: st.from_type(f.type) for f in msgspec.structs.fields(kind)}
    return st.fixed_dictionaries(fields).map(lambda values: kind(**values))


@pytest.mark.parametrize("kind", MESSAGE_TYPES, ids=lambda kind: kind.__name__)
def test_every_message_comes_back_as_it_was_sent(kind):
    @settings(max_examples=30, deadline=None)
    @given(message=structs(kind) if kind is not m.FrameMessage else structs(m.FrameMessage))
    def round_trip(message):
        back = m.decode(m.encode(message))
        assert type(back) is kind
        assert back == message

    round_trip()


@pytest.mark.parametrize("message", ONE_OF_EACH.values(), ids=ONE_OF_EACH)
def test_a_plain_msgpack_reader_sees_a_map_with_type_and_version(message):
    fields = msgpack.unpackb(m.encode(message))
    assert fields["type"] == type(message).__name__.removesuffix("Message").lower()
    assert fields["version"] == m.VERSION


@pytest.mark.parametrize("message", ONE_OF_EACH.values(), ids=ONE_OF_EACH)
@pytest.mark.parametrize("version", [m.VERSION + 1, 0, -1])
def test_another_version_is_refused_by_number(message, version):
    data = m.encode(msgspec.structs.replace(message, version=version))
    with pytest.raises(
        MessageError, match=f"version {version}, this program reads version {m.VERSION}"
    ):
        m.decode(data)


def test_the_next_version_is_refused_by_number_even_with_fields_unknown_today():
    data = msgpack.packb({"type": "hologram", "version": m.VERSION + 1, "depth": 3})
    with pytest.raises(MessageError, match="Use the same release"):
        m.decode(data)


@pytest.mark.parametrize("message", ONE_OF_EACH.values(), ids=ONE_OF_EACH)
def test_a_truncated_message_is_refused_at_every_length(message):
    data = m.encode(message)
    for n in {*range(min(len(data), 200)), *range(0, len(data), 101), len(data) - 1}:
        with pytest.raises(MessageError):
            m.decode(data[:n])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_foreign_bytes_are_refused_in_one_line(data):
    with pytest.raises(MessageError) as error:
        m.decode(data)
    assert "\n" not in str(error.value)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_flipped_byte_is_refused_or_is_a_message(data):
    whole = bytearray(m.encode(made.frame(1)))
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(MessageError):
        m.decode(bytes(whole))


HEAD = b"\x83\xa4type\xa5frame\xa7version" + bytes([m.VERSION])
FOREIGN = {
    "nothing": b"",
    "json": b'{"type": "frame", "version": 3}',
    "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
    "a list": msgpack.packb([1, 2, 3]),
    "no type": msgpack.packb({"version": m.VERSION}),
    "no version": msgpack.packb({"type": "frame"}),
    "version as text": msgpack.packb({"type": "frame", "version": "1"}),
    "unknown type": msgpack.packb({"type": "hologram", "version": m.VERSION}),
    "unknown field": msgpack.packb({**msgpack.unpackb(m.encode(made.event())), "colour": "red"}),
    "missing field": msgpack.packb({"type": "event", "version": m.VERSION, "kind": "gap"}),
    "wrong type of field": msgpack.packb(
        {**msgpack.unpackb(m.encode(made.event())), "time_s": "noon"}
    ),
    "trailing bytes": m.encode(made.event()) + b"\x00",
    "array that announces four billion entries": b"\xdd\xff\xff\xff\xff",
    "map that announces four billion entries": b"\xdf\xff\xff\xff\xff",
    "bytes that announce four billion": HEAD + b"\xa6latent\xc6\xff\xff\xff\xff",
    "text that announces four billion": HEAD + b"\xa6bundle\xdb\xff\xff\xff\xff",
    "list in the layout that announces four billion": HEAD
    + b"\xa6layout\x81\xa3roi\xdd\xff\xff\xff\xff",
    "a hundred thousand nested lists": b"\x91" * 100_000,
    "nested lists in a field": HEAD + b"\xa6latent" + b"\x91" * 100_000,
    "nested maps": b"\x81\xa1a" * 100_000,
}


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_message_is_refused_in_one_line(data):
    with pytest.raises(MessageError) as error:
        m.decode(data)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_raw_picture_comes_back_exactly(rng):
    pixels = rng.integers(0, 256, (31, 17, 3), np.uint8)
    back = m.pixels_of(m.raw_image(pixels))
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, pixels)


def test_a_raw_picture_in_fortran_order_keeps_its_axes(rng):
    pixels = np.asfortranarray(rng.integers(0, 256, (5, 7, 3), np.uint8))
    np.testing.assert_array_equal(m.pixels_of(m.raw_image(pixels)), pixels)


def test_a_jpeg_picture_keeps_its_shape_and_nearly_its_values():
    pixels = made.picture(64)
    image = m.jpeg_image(pixels, quality=95)
    assert (image.format, image.height, image.width) == ("jpeg", 64, 64)
    assert len(image.data) < pixels.size
    assert np.abs(m.pixels_of(image).astype(int) - pixels.astype(int)).mean() < 3


BAD_PICTURES = {
    "too few bytes": m.Image("raw", 4, 4, bytes(47)),
    "too many bytes": m.Image("raw", 4, 4, bytes(49)),
    "negative size": m.Image("raw", -4, -4, bytes(48)),
    "both sizes negated to fit": m.Image("raw", -2, -8, bytes(48)),
    "no pixels": m.Image("raw", 0, 0, b""),
    "gigabytes": m.Image("raw", 1 << 20, 1 << 20, b""),
    "no jpeg": m.Image("jpeg", 4, 4, b"not a jpeg"),
    "empty jpeg": m.Image("jpeg", 4, 4, b""),
    "jpeg of another size": m.Image("jpeg", 4, 4, m.jpeg_image(made.picture(8)).data),
    "truncated jpeg header": m.Image("jpeg", 16, 16, m.jpeg_image(made.picture(16)).data[:40]),
}


@pytest.mark.parametrize("image", BAD_PICTURES.values(), ids=BAD_PICTURES)
def test_a_picture_that_is_not_what_it_announces_is_refused(image):
    with pytest.raises(MessageError, match="image"):
        m.pixels_of(image)


def test_a_jpeg_that_announces_a_giant_picture_is_refused_before_it_is_made():
    small = m.jpeg_image(made.picture(16)).data
    at = small.index(b"\xff\xc0") + 5
    giant = small[:at] + b"\xff\xdc\xff\xdc" + small[at + 4 :]
    with pytest.raises(MessageError, match="image"):
        m.pixels_of(m.Image("jpeg", 16, 16, giant))


def test_a_frame_without_latent_has_none():
    assert m.latent_of(made.dropped(1)) is None


def test_a_latent_that_is_no_whole_number_of_floats_is_refused():
    with pytest.raises(MessageError, match="7 bytes"):
        m.latent_of(made.frame(latent=bytes(7)))


def test_a_latent_comes_back_as_float32():
    latent = m.latent_of(made.frame(3))
    assert latent is not None
    assert latent.dtype == np.float32
    assert latent.tolist() == [3, 4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("image", [None, "raw", "jpeg"])
def test_a_frame_of_the_real_size_survives_the_way(image, rng):
    pixels = rng.integers(0, 256, (128, 128, 3), np.uint8)
    wrap = {None: lambda _: None, "raw": m.raw_image, "jpeg": m.jpeg_image}[image]
    frame = made.frame(9, n_latents=512, image=False)
    frame = msgspec.structs.replace(frame, image=wrap(pixels))
    assert m.decode(m.encode(frame)) == frame
