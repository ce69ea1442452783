"""The codes are read back by another program than the one that made them."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from battery_pilot.commands.passport_life import FORMS
from battery_pilot.errors import InputError
from battery_pilot.passport.identification import QUIET_ZONE, modules, png, svg
from battery_pilot.passport.identifiers import asset_id

LINK = "https://example.com/dbp/EX%2001/SN%200007%2F%C3%A4"
KINDS = {"qr": zxingcpp.BarcodeFormat.QRCode, "datamatrix": zxingcpp.BarcodeFormat.DataMatrix}


def read_image(image):
    """Read all codes of a picture."""
    return zxingcpp.read_barcodes(np.asarray(image.convert("L")))


def drawn(data):
    """Draw the rectangles of the SVG, module by module."""
    root = ET.fromstring(data)
    _, _, width, height = map(int, root.attrib["viewBox"].split())
    picture = np.full((height, width), 255, dtype=np.uint8)
    dark = root.findall("{http://www.w3.org/2000/svg}path")[1].attrib["d"]
    for run in dark.split("M")[1:]:
        x, y = map(int, run.partition("h")[0].split())
        picture[y, x : x + int(run.partition("h")[2].partition("v")[0])] = 0
    return Image.fromarray(picture.repeat(6, 0).repeat(6, 1))


@pytest.mark.parametrize("form", FORMS)
def test_the_picture_says_the_link_in_the_form_that_was_asked_for(form):
    image = Image.open(io.BytesIO(png(modules(LINK, form))))
    (code,) = read_image(image)
    assert (code.text, code.format) == (LINK, KINDS[form])


@pytest.mark.parametrize("form", FORMS)
def test_the_drawing_says_the_same(form):
    (code,) = read_image(drawn(svg(modules(LINK, form), "Battery <7> & more")))
    assert (code.text, code.format) == (LINK, KINDS[form])


@settings(max_examples=40, deadline=None)
@given(
    form=st.sampled_from(FORMS),
    serial=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
        lambda text: text.strip(".").strip()
    ),
)
def test_every_serial_number_can_be_read_back(form, serial):
    link = asset_id("https://example.com/dbp", "EX 01", serial)
    (code,) = read_image(drawn(svg(modules(link, form), "")))
    assert code.text == link


@pytest.mark.parametrize("form", FORMS)
def test_a_light_border_as_wide_as_the_standard_demands_surrounds_the_symbol(form):
    symbol, border = modules(LINK, form), QUIET_ZONE[form]
    edges = [*symbol[:border], *symbol[-border:]]
    edges += [row[:border] for row in symbol] + [row[-border:] for row in symbol]
    assert not any(any(edge) for edge in edges)
    assert any(symbol[border])
    assert len({len(row) for row in symbol}) == 1


@pytest.mark.parametrize("form", FORMS)
def test_the_same_link_gives_the_same_bytes(form):
    assert png(modules(LINK, form)) == png(modules(LINK, form))
    assert svg(modules(LINK, form), "t") == svg(modules(LINK, form), "t")


@pytest.mark.parametrize("form", FORMS)
def test_a_link_that_does_not_fit_is_one_sentence(form):
    with pytest.raises(InputError, match="shorten the identifier base"):
        modules("https://example.com/" + "a" * 3000, form)


@pytest.mark.parametrize("link", ["https://example.com/ä", "https://example.com/a b", "https://example.com/\n"])
def test_what_is_no_link_is_refused(link):
    with pytest.raises(InputError, match="cannot be a link"):
        modules(link, "qr")
