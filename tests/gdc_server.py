"""GDC's interface on a file server of this machine: POST /files (filters, pages), GET /data/<file id>."""

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from file_server import FileServer, serving


class Gdc:
    """A little GDC: ``add`` files, then query and download them at ``server.url``."""

    def __init__(self, server: FileServer, page: int = 1000) -> None:
        self.server, self.page = server, page
        self.hits: list[dict[str, Any]] = []
        server.posts["/files"] = self.answer

    def add(self, name: str, data: bytes, patient: str, project: str = "TCGA-X", **changes: Any) -> dict[str, Any]:
        """One open diagnostic slide; ``changes`` overwrite what GDC says of it."""
        file_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name} {len(self.hits)}"))
        hit = {
            "file_id": file_id,
            "file_name": name,
            "file_size": len(data),
            "md5sum": hashlib.md5(data).hexdigest(),
            "cases": [{"submitter_id": patient}],
        } | changes
        self.hits.append(hit | {"project": project})
        self.server.files[f"/data/{file_id}"] = data
        return hit

    def add_folder(self, folder: Path, patients: Mapping[str, str]) -> None:
        """Every ``<slide_id>.svs`` of ``folder`` that ``patients`` knows."""
        for slide_id, patient in patients.items():
            self.add(f"{slide_id}.svs", (folder / f"{slide_id}.svs").read_bytes(), patient)

    def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """As GDC: the fields asked for of the page asked for, of the projects filtered by."""
        filters = {part["content"]["field"]: part["content"]["value"] for part in body["filters"]["content"]}
        assert filters["access"] == ["open"]
        assert filters["data_type"] == ["Slide Image"]
        assert filters["experimental_strategy"] == ["Diagnostic Slide"]
        found = [hit for hit in self.hits if hit["project"] in filters["cases.project.project_id"]]
        found.sort(key=lambda hit: hit["file_id"])
        page = found[body["from"] : body["from"] + min(self.page, body["size"])]
        hits = [{key: value for key, value in hit.items() if key != "project"} for hit in page]
        return {"data": {"hits": hits, "pagination": {"total": len(found), "from": body["from"]}}, "warnings": {}}

    def downloads(self) -> list[str]:
        """File ids asked for, in order."""
        return [path.removeprefix("/data/") for verb, path, _ in self.server.requests if verb == "GET"]


@contextmanager
def gdc_serving(page: int = 1000) -> Iterator[Gdc]:
    """A running little GDC."""
    with serving() as server:
        yield Gdc(server, page)
