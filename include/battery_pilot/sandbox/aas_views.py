"""Reading from the AAS sandbox: whole, or as the views of the API: ``$metadata``, ``$value``, ``$reference`` and ``$path``.

A submodel is read below ``/submodels/…`` and, where a shell refers to it, below ``/shells/…/submodels/…``.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response  # noqa: TC002 -- FastAPI looks the annotations up
from fastapi.responses import JSONResponse

from battery_pilot.sandbox import aas_content
from battery_pilot.sandbox.aas_content import Refusal
from battery_pilot.sandbox.aas_http import decode_id, existing, paged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from battery_pilot.sandbox.store import Document, Store

    View = Callable[[Document, str], Any]
    """Makes an answer of a submodel and the path of the element in it, empty for the submodel itself."""

    Wanted = Callable[[Request], Callable[[Document], bool] | None]

_MODIFIERS = {"level": {"deep", "core"}, "extent": {"withBlobValue", "withoutBlobValue"}}


def add_views(app: FastAPI, store: Store, wanted: Wanted) -> None:
    """Add all routes that read shells' and submodels' views. They come before those with an id in the same place.

    :param wanted: reads the filter of a request for a list.
    """
    _add_shell_views(app, store, wanted)
    for suffix, view in _views().items():
        if suffix:
            _add_list_of_submodels(app, store, suffix, view, wanted)
        _add_submodel_view(app, store, suffix, view)


def _views() -> dict[str, View]:
    return {
        "/$metadata": lambda submodel, path: aas_content.metadata_of(_at(submodel, path)),
        "/$value": lambda submodel, path: aas_content.value_of(_at(submodel, path)),
        "/$reference": lambda submodel, path: aas_content.reference_to(submodel, path if _at(submodel, path) else ""),
        "/$path": _paths_at,
        "": _at,  # last: it takes all names
    }


def _add_shell_views(app: FastAPI, store: Store, wanted: Wanted) -> None:
    def reference(shell: Document) -> Document:
        return {"type": "ModelReference", "keys": [{"type": shell["modelType"], "value": shell["id"]}]}

    @app.get("/shells/$reference")
    async def list_references(request: Request) -> Response:
        found = [reference(one) for one in _filtered(store, "shells", wanted(request))]
        return JSONResponse(paged(request, lambda offset, limit: found[offset : offset + limit]))

    @app.get("/shells/{encoded}/$reference")
    async def read_reference(encoded: str) -> Response:
        return JSONResponse(reference(existing(store, "shells", decode_id(encoded))))

    @app.get("/shells/{encoded}/asset-information")
    async def read_asset_information(encoded: str) -> Response:
        return JSONResponse(existing(store, "shells", decode_id(encoded))["assetInformation"])


def _add_list_of_submodels(app: FastAPI, store: Store, suffix: str, view: View, wanted: Wanted) -> None:
    @app.get(f"/submodels{suffix}")
    async def list_views(request: Request) -> Response:
        _demand_modifiers(request)
        views = [view(one, "") for one in _filtered(store, "submodels", wanted(request))]
        found = [path for paths in views for path in paths] if suffix == "/$path" else views
        return JSONResponse(paged(request, lambda offset, limit: found[offset : offset + limit]))


def _add_submodel_view(app: FastAPI, store: Store, suffix: str, view: View) -> None:
    """Add a view of submodels, of the lists of their elements and of single elements."""
    for base in ("/submodels/{encoded}", "/shells/{shell}/submodels/{encoded}"):

        @app.get(base + suffix)
        async def read_submodel(request: Request, encoded: str, shell: str = "") -> Response:
            _demand_modifiers(request)
            return JSONResponse(view(_submodel(store, encoded, shell), ""))

        @app.get(f"{base}/submodel-elements{suffix}")
        async def list_elements(request: Request, encoded: str, shell: str = "") -> Response:
            _demand_modifiers(request)
            submodel = _submodel(store, encoded, shell)
            names = [str(child["idShort"]) for child in aas_content.children(submodel)]
            if suffix == "/$path":
                found: list[Any] = list(_paths(submodel, ""))[1:]
            else:
                found = [view(submodel, name) for name in names]
            return JSONResponse(paged(request, lambda offset, limit: found[offset : offset + limit]))

        @app.get(f"{base}/submodel-elements/{{path}}{suffix}")
        async def read_element(request: Request, encoded: str, path: str, shell: str = "") -> Response:
            _demand_modifiers(request)
            return JSONResponse(view(_submodel(store, encoded, shell), path))


def _submodel(store: Store, encoded: str, shell: str) -> Document:
    identifier = decode_id(encoded)
    if shell:
        references = existing(store, "shells", decode_id(shell)).get("submodels", [])
        if not any(one["keys"][-1]["value"] == identifier for one in references):
            raise Refusal(HTTPStatus.NOT_FOUND, f"{decode_id(shell)} does not refer to submodel {identifier}.")
    return existing(store, "submodels", identifier)


def _filtered(store: Store, collection: str, wanted: Callable[[Document], bool] | None) -> list[Document]:
    return [one for one in store.page(collection) if wanted is None or wanted(one)]


def _demand_modifiers(request: Request) -> None:
    for name, allowed in _MODIFIERS.items():
        given = request.query_params.get(name)
        if given is not None and given not in allowed:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"{name} must be one of {sorted(allowed)}, not {given!r}.")


def _paths_at(submodel: Document, path: str) -> list[str]:
    element = _at(submodel, path)
    if not aas_content.has_room(element):
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{path} is a {element['modelType']}, which has no paths below it.")
    return list(_paths(element, path))


def _paths(element: Document, path: str) -> Iterator[str]:
    """Yield the idShort paths of an element and all that is in it; a submodel begins with its own idShort."""
    yield path or str(element.get("idShort", ""))
    is_list = element.get("modelType") == "SubmodelElementList"
    for index, child in enumerate(aas_content.children(element)):
        name = f"[{index}]" if is_list else f".{child['idShort']}" if path else str(child["idShort"])
        yield from _paths(child, path + name)


def _at(submodel: Document, path: str) -> Document:
    return aas_content.element_at(submodel, path) if path else submodel
