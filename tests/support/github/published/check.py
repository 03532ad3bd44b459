"""Holds what the simulated GitHub said against excerpt.json.

Standard input: a list of {"said": "METHOD TARGET" or the name of a webhook's event, "status", "body"}.
Standard output: what is wrong, and which shapes nothing was held against; {"wrong": [], "unseen": []}.
"""

import json
import pathlib
import re
import sys

from jsonschema import Draft202012Validator

published = json.loads(pathlib.Path(__file__).with_name("excerpt.json").read_text())
shapes, parts = published["shapes"], published["$defs"]
# A file of a repository is text; there is nothing in what was done or has not changed.
TEXT = re.compile("GET /repos/[^/]+/[^/]+/contents/.+")
NOTHING = (204, 304)


def name_of(said, status, body):
    """The name of the shape that it must have."""
    if not said.startswith(("GET ", "POST ")):
        return f"{said} {body['action']}"
    if status >= 300:
        return "refusal"
    for name in shapes:
        pattern = re.sub(r"\\{[a-z_]+\\}", "[^/]+", re.escape(name))
        if re.fullmatch(pattern, f"{said} {status}"):
            return name
    return f"{said} {status}"


wrong, seen = [], set()
for it in json.load(sys.stdin):
    said, status = it["said"].partition("?")[0].replace("/api/v3/", "/"), it["status"]
    if status in NOTHING or (status == 200 and TEXT.fullmatch(said)):
        if status in NOTHING and it["body"]:
            wrong.append(f"{said} {status}: there is a body")
        continue
    body = json.loads(it["body"])
    name = name_of(said, status, body)
    if name not in shapes:
        wrong.append(f"{name}: not in excerpt.json")
        continue
    seen.add(name)
    validator = Draft202012Validator({**shapes[name], "$defs": parts})
    for error in validator.iter_errors(body):
        wrong.append(f"{name}: {error.json_path}: {error.message}"[:300])
print(json.dumps({"wrong": sorted(set(wrong)), "unseen": sorted(set(shapes) - seen)}))
