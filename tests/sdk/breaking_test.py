"""`breaking.py` sees what breaks clients, and lets pass what does not.

    breaking_test.py FOLDER-OF-DOCUMENTS
"""

import copy
import json
import pathlib
import sys
import tempfile

import breaking

native = json.loads((pathlib.Path(sys.argv[1]) / "native.json").read_text())


def found(change):
    other = copy.deepcopy(native)
    change(other)
    said = []
    breaking.compare(native, other, lambda name, what: said.append(f"{name}: {what}"))
    return said


def of(document, path, method):
    return document["paths"][path][method]


def schema(document, name):
    return document["components"]["schemas"][name]


BREAKS = {
    "an operation is gone": lambda d: d["paths"].pop("/api/v1/user"),
    "another name": lambda d: of(d, "/api/v1/user", "get").update(operationId="me"),
    "an answer is gone": lambda d: of(d, "/api/v1/auth/login", "post")["responses"].pop("429"),
    "a field of an answer is gone": lambda d: schema(d, "User")["properties"].pop("email"),
    "a field may be missing": lambda d: schema(d, "User")["required"].remove("username"),
    "a field may be null": lambda d: schema(d, "User")["properties"]["role"].update(nullable=True),
    "a field has another type": lambda d: schema(d, "User")["properties"]["role"].update(type="integer"),
    "an answer may be something new": lambda d: schema(d, "UserStatus")["enum"].append("locked"),
    "a request may be less": lambda d: schema(d, "SettableStatus")["enum"].remove("disabled"),
    "a request needs more": lambda d: schema(d, "LoginRequest")["required"].append("pin"),
    "a narrower bound": lambda d: schema(d, "KeyRequest")["properties"]["name"].update(maxLength=8),
    "a page is smaller": lambda d: d["components"]["parameters"]["PageSize"]["schema"].update(maximum=100),
    "a parameter is gone": lambda d: of(d, "/api/v1/users", "get").update(parameters=[]),
    "strangers are refused": lambda d: of(d, "/api/v1/setup/status", "get").update(
        security=[{"bearer": []}]
    ),
    "a way to sign in is gone": lambda d: of(d, "/api/v1/user", "get")["security"].pop(),
}
FINE = {
    "nothing": lambda d: None,
    "a new operation": lambda d: d["paths"].update({"/new": {"get": {"operationId": "new"}}}),
    "a new field of an answer": lambda d: schema(d, "User")["properties"].update(x={"type": "string"}),
    "a new field that may be left out": lambda d: schema(d, "LoginRequest")["properties"].update(
        x={"type": "string"}
    ),
    "other words": lambda d: of(d, "/api/v1/user", "get").update(summary="Me", description="Me"),
    "a wider bound": lambda d: schema(d, "KeyRequest")["properties"]["name"].update(maxLength=800),
    "a new status to set": lambda d: schema(d, "SettableStatus")["enum"].append("locked"),
}
for name, change in BREAKS.items():
    assert found(change), f"not seen: {name}"
for name, change in FINE.items():
    assert not found(change), f"{name}: {found(change)}"

changelog = "# Changelog\n\n## 2.0.0\n\n- BREAKING: native profile_get: gone.\n\n## 1.0.0\n\n- BREAKING: pin login\n"
assert breaking.named(changelog) == {"native profile_get"}
with tempfile.TemporaryDirectory() as folder:
    old, new, log = (pathlib.Path(folder) / name for name in ("old", "new", "log.md"))
    for place, document in ((old, native), (new, copy.deepcopy(native))):
        place.mkdir()
        if place == new:
            document["paths"].pop("/api/v1/user")
        (place / "native.json").write_text(json.dumps(document))
    log.write_text("## 2.0.0\n\n- BREAKING: native profile_get\n")
    assert breaking.main(old, new, log), "profile_update is not named"
    log.write_text("## 2.0.0\n\n- BREAKING: native profile_get, BREAKING: native profile_update\n")
    assert not breaking.main(old, new, log), "both are named"
print(f"{len(BREAKS)} ways to break a client are seen, {len(FINE)} changes pass")
