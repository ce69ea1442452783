"""Datasets and the catalogue of the TRUE Connector sandbox."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, File, Form, Request, Response, UploadFile
from fastapi.responses import JSONResponse

from battery_pilot.sandbox.true_dsp_site import CONTEXT, Refused, Site, done

if TYPE_CHECKING:
    from battery_pilot.sandbox.store import Document

KIND = "dataset"
OPERANDS = frozenset({"COUNT", "DATE_TIME"})
FORMAT = "HttpData-PULL"


def add_management(routes: APIRouter, site: Site) -> None:
    """Add datasets, distributions and the proxy to other catalogues."""

    @routes.get("/distributions")
    def distributions() -> Response:
        return done("Fetched all distributions", [_distribution(site)])

    @routes.get("/datasets")
    def datasets() -> Response:
        return done("Fetched all datasets", site.store.page(KIND))

    @routes.get("/datasets/{key}")
    def dataset(key: str) -> Response:
        return done("Fetched dataset", _one(site, key))

    @routes.post("/datasets")
    def create(
        dataset: Annotated[UploadFile, File()],
        file: Annotated[UploadFile | None, File()] = None,
        url: Annotated[str | None, Form()] = None,
        authorization: Annotated[str | None, Form()] = None,
    ) -> Response:
        document = _read(dataset)
        artifact = _artifact(site, document["@id"], file, url, authorization)
        if artifact is None or not site.store.insert(KIND, document["@id"], {**document, "artifact": artifact}):
            raise Refused(500, "Dataset could not be saved")
        return done("Saved dataset", _one(site, document["@id"]))

    @routes.put("/datasets/{key}")
    def change(
        key: str,
        dataset: Annotated[UploadFile, File()],
        file: Annotated[UploadFile | None, File()] = None,
        url: Annotated[str | None, Form()] = None,
        authorization: Annotated[str | None, Form()] = None,
    ) -> Response:
        stored = _one(site, key)
        artifact = _artifact(site, key, file, url, authorization) or stored["artifact"]
        site.store.put(KIND, key, {**stored, **_read(dataset), "@id": key, "artifact": artifact})
        return done("Dataset updated", _one(site, key))

    @routes.delete("/datasets/{key}")
    def delete(key: str) -> Response:
        _one(site, key)
        site.store.delete(KIND, key)
        return done("Dataset deleted successfully")

    @routes.post("/proxy/catalogs")
    def catalogue(request: dict[str, Any]) -> Response:
        found = site.send(
            f"{request['Forward-To'].rstrip('/')}/catalog/request", {"@type": "CatalogRequestMessage", "filter": []}
        )
        return done("Fetched catalog", found)


def add_protocol(routes: APIRouter, site: Site) -> None:
    """Add the catalogue that others see."""

    @routes.post("/catalog/request")
    def catalogue(request: Request) -> Response:  # noqa: ARG001 -- filters are not looked at, as in the real one
        datasets = [{**one, "artifact": None} for one in site.store.page(KIND)]
        return JSONResponse(
            {
                "@context": CONTEXT,
                "@id": f"urn:uuid:catalog-{site.participant_id}",
                "@type": "Catalog",
                "participantId": site.participant_id,
                "dataset": datasets,
                "service": [_distribution(site)["accessService"]],
            }
        )


def _distribution(site: Site) -> Document:
    service = {"@id": f"urn:uuid:service-{site.participant_id}", "endpointURL": f"{site.base_url}/"}
    return {"@id": f"urn:uuid:pull-{site.participant_id}", "format": FORMAT, "accessService": service}


def _one(site: Site, key: str) -> Document:
    found = site.store.get(KIND, key)
    if found is None:
        raise Refused(404, f"Dataset with id: {key} not found")
    return found


def _read(part: UploadFile) -> Document:
    """Read a dataset's JSON, refusing what the real one's data classes refuse."""
    document: Document = json.loads(part.file.read())
    for policy in document.get("hasPolicy") or ():
        if not policy.get("permission"):
            raise Refused(400, "Offer - permission must not be null")
        for permission in policy["permission"]:
            for constraint in permission.get("constraint") or ():
                if constraint["leftOperand"] not in OPERANDS:
                    raise Refused(
                        400, f"LeftOperand, problem: {constraint['leftOperand']} has no corresponding value"
                    )
            # Empty lists are stored as nothing.
            permission["constraint"] = permission.get("constraint") or None
    return document


def _artifact(
    site: Site, key: str, file: UploadFile | None, url: str | None, authorization: str | None
) -> Document | None:
    """Return what a dataset's data are; of a file and an address, the file wins."""
    if file is not None:
        name = uuid.uuid4().hex
        (site.folder / name).write_bytes(file.file.read())
        return {"artifactType": "FILE", "filename": file.filename, "value": key, "storage": name}
    if url:
        return {"artifactType": "EXTERNAL", "value": url, "authorization": authorization}
    return None
