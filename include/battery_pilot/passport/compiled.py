"""The canonical JSON of a fleet's passports, filled into prepared pieces of text.

:mod:`battery_pilot.passport.aas` says what the JSON is: objects first, canonical bytes (RFC 8785) after. For a fleet that
takes too long, and of a passport only the values and identifiers change. Here the JSON of each row is made once by the same
functions with a mark in the place of what changes, made canonical, and cut at the mark. The pieces are put together with
the values between them, so that both ways give the same bytes.
"""

from __future__ import annotations

import json
from functools import cache, lru_cache
from itertools import pairwise
from json.encoder import encode_basestring as _quoted
from operator import is_
from typing import TYPE_CHECKING, Any, NamedTuple

from battery_pilot.passport.canonical import canonical
from battery_pilot.passport.documents import Attachment, Text
from battery_pilot.passport.filling import Element
from battery_pilot.passport.lexical import to_xsd
from battery_pilot.passport.mapping import Row, parent_path, part_of
from battery_pilot.passport.shell import shell_dict
from battery_pilot.passport.submodels import concept_dicts, submodel_dict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from battery_pilot.passport.building import Passport

_MARK = "\ue000"  # of a private use area: no table has it
_CUT = json.dumps(_MARK, ensure_ascii=False)
_ANY_MARK: Any = _MARK  # where a number stands otherwise

Use = tuple[str, bool, bool]
"""Path of a row that a passport uses, and whether its file states a digest and a size."""


class Texts(NamedTuple):
    """The canonical JSON of a passport in its parts.

    :param shell: the shell.
    :param submodels: identifier and submodel, in the order of the identifiers; those that the batteries of a model share are
        the same objects in each of their passports.
    :param concepts: the list of concept descriptions; empty where there are none.
    """

    shell: str
    submodels: tuple[tuple[str, str], ...]
    concepts: str

    def joined(self) -> bytes:
        """Return the passport as a whole."""
        described = f'"conceptDescriptions":{self.concepts},' if self.concepts else ""
        inside = ",".join(text for _, text in self.submodels)
        return f'{{"assetAdministrationShells":[{self.shell}],{described}"submodels":[{inside}]}}'.encode()


def canonical_json(passport: Passport) -> bytes:
    """Return the passport as canonical JSON (RFC 8785), the same bytes as the objects of :mod:`aas` give.

    :param passport: a passport or a view of one.
    """
    return canonical_texts(passport).joined()


def canonical_texts(passport: Passport) -> Texts:
    """Return the parts of :func:`canonical_json`."""
    ids = passport.identifiers
    submodels, uses = [], []
    for elements in _by_part(passport.elements):
        name = elements[0].path
        identifier = ids.submodels[name]
        if identifier.startswith(ids.asset_type):
            text, used = _shared_submodel(_Same(elements), identifier)
        else:
            text, used = _submodel(name, identifier, elements), frozenset(_uses(elements))
        submodels.append((identifier, text))
        uses.append(used)
    # Of texts alone, with ASCII names, the standard library's sorted JSON is canonical too, and quicker.
    shell = json.dumps(shell_dict(passport), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return Texts(shell, tuple(sorted(submodels)), _concepts(tuple(uses)))


def _by_part(elements: tuple[Element, ...]) -> Iterator[tuple[Element, ...]]:
    """Yield the elements of each submodel, which stand together, the submodel itself first."""
    starts = [place for place, element in enumerate(elements) if "." not in element.path]
    for start, end in pairwise([*starts, len(elements)]):
        yield elements[start:end]


class _Same:
    """Elements as a key: equal where they are the same objects, as those of all batteries of a model are.

    :param elements: the elements.
    """

    def __init__(self, elements: tuple[Element, ...]) -> None:
        self.elements = elements

    def __hash__(self) -> int:
        return hash(tuple(map(id, self.elements)))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Same)
            and len(self.elements) == len(other.elements)
            and all(map(is_, self.elements, other.elements))
        )


@lru_cache(maxsize=256)
def _shared_submodel(same: _Same, identifier: str) -> tuple[str, frozenset[Use]]:
    """Return a submodel that all batteries of a model share, and what it uses, once for all of them."""
    return _submodel(same.elements[0].path, identifier, same.elements), frozenset(_uses(same.elements))


def _submodel(name: str, identifier: str, elements: tuple[Element, ...]) -> str:
    """Return one submodel; its elements stand in the order of the document, every container before its content."""
    before_id, before_content, end = _container(name)
    out = [before_id, _quoted(identifier), before_content]
    open_containers = [(name, end)]
    separator = ""
    for element in elements[1:]:
        parent = parent_path(element.path)
        while open_containers[-1][0] != parent:
            out.append(open_containers.pop()[1])
            separator = ","
        out.append(separator)
        if element.row.is_container:
            before, after = _container(element.row.path)
            out.append(before)
            open_containers.append((element.path, after))
            separator = ""
        else:
            out.append(_leaf(element))
            separator = ","
    out += [after for _, after in reversed(open_containers)]
    return "".join(out)


def _leaf(element: Element) -> str:
    row = element.row
    if row.kind == "MLP":
        before, after = _text_pieces(row.path)
        texts = ",".join(
            f'{{"language":{_quoted(language)},"text":{_quoted(text)}}}' for language, text in element.texts
        )
        return f"{before}[{texts}]{after}"
    if row.kind == "File":
        return _file(element)
    before, after = _property_pieces(row.path)
    return f"{before}{_quoted(to_xsd(element.value, row.value_type))}{after}"  # type: ignore[arg-type]


def _file(element: Element) -> str:
    file = element.file
    if file is None:  # stated by an older table, without content type
        return _canonical(_node(element.row.path, element))
    has_digest, has_size = file.sha256 is not None, file.byte_count is not None
    pieces = _file_pieces((element.row.path, has_digest, has_size))
    changing = [file.content_type]
    changing += [str(file.sha256)] if has_digest else []
    changing += [str(file.byte_count)] if has_size else []
    changing.append(str(element.value))
    return pieces[0] + "".join(_quoted(text) + piece for text, piece in zip(changing, pieces[1:], strict=True))


@cache
def _property_pieces(path: str) -> list[str]:
    return _canonical({**_node(path, _stub((path, False, False))), "value": _MARK}).split(_CUT)


_text_pieces = _property_pieces
_KINDS_OF_CONTENT = ("submodelElements", "value")


@cache
def _file_pieces(use: Use) -> list[str]:
    return _canonical(_node(use[0], _stub(use))).split(_CUT)


@cache
def _container(path: str) -> list[str]:
    """Return the JSON before and after the content of a container; of a submodel also what is before its id."""
    node = _node(path, None)
    content = next(name for name in _KINDS_OF_CONTENT if name in node)
    marked = {**node, content: _MARK, **({"id": _MARK} if content == "submodelElements" else {})}
    pieces = _canonical(marked).split(_CUT)
    return [*pieces[:-2], pieces[-2] + "[", "]" + pieces[-1]]


@lru_cache(maxsize=1024)
def _concepts(uses: tuple[frozenset[Use], ...]) -> str:
    found = concept_dicts([_stub(use) for use in frozenset().union(*uses)])
    return _canonical(found) if found else ""


def _uses(elements: Iterable[Element]) -> Iterable[Use]:
    for element in elements:
        file = element.file
        yield (
            (element.row.path, False, False)
            if file is None
            else (element.row.path, file.sha256 is not None, file.byte_count is not None)
        )


def _stub(use: Use) -> Element:
    """Return an element of a row with marks for all that can change."""
    row = _row(use[0])
    if row.is_container:
        return Element(row, row.path, None, row.tier)
    file = None
    if row.kind == "File":
        file = Attachment.model_construct(
            name="", content_type=_MARK, sha256=_MARK if use[1] else None, byte_count=_ANY_MARK if use[2] else None
        )
    texts = (Text(_MARK, _MARK),) if row.kind == "MLP" else ()
    return Element(row, row.path, 0.0 if row.kind == "Property" else _MARK, row.tier, texts, file)


def _node(path: str, leaf: Element | None) -> Any:
    """Return the AAS JSON of a row, as it stands in a submodel that holds nothing else."""
    chain = [path]
    while parent := parent_path(chain[0]):
        chain.insert(0, parent)
    rows = [_row(one) for one in chain]
    elements = [Element(row, row.path, None, row.tier) for row in rows]
    if leaf is not None:
        elements[-1] = Element(leaf.row, path, leaf.value, leaf.tier, leaf.texts, leaf.file)
    node: Any = submodel_dict(part_of(chain[0]), _MARK, elements)
    for _ in chain[1:]:
        (node,) = node["submodelElements"] if "submodelElements" in node else node["value"]
    return node


def _row(path: str) -> Row:
    return part_of(path.partition(".")[0]).by_path[path]


def _canonical(content: Any) -> str:
    return canonical(content).decode()
