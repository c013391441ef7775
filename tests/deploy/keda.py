"""Judges KEDA's objects by the models made of its CRDs; runs in the environment that has these.

python keda.py FILE: each object of a YAML file that is KEDA's. Unknown fields count: the API server would drop them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

yaml = import_module("yaml")
models = import_module("cloudcoil.models.keda.v1alpha1")


def problem(part: dict[str, Any]) -> str:
    model = getattr(models, part["kind"])
    read = model.model_validate(part).model_dump(by_alias=True, exclude_unset=True, mode="json")
    return "" if _plain(read) == _plain(part) else f"{part['kind']}: something is unknown: {part} became {read}"


def _plain(part: dict[str, Any]) -> dict[str, Any]:
    """Kind and version are constants of the model, set or not."""
    return {name: item for name, item in part.items() if name not in {"apiVersion", "kind"}}


if __name__ == "__main__":
    objects = list(yaml.safe_load_all(Path(sys.argv[1]).read_text(encoding="utf-8")))
    judged = [problem(part) for part in objects if part["apiVersion"].startswith("keda.sh/")]
    print(f"{len(judged)} judged")
    sys.exit("\n".join(filter(None, judged)) or 0)
