"""Fails when a document breaks a client that an earlier one made, unless CHANGELOG.md names it.

    breaking.py OLD-FOLDER NEW-FOLDER CHANGELOG.md

A change breaks when something that clients use is gone or asks more of them: an operation, an
operation id, an answer, a field of an answer, a value of a choice that requests take, a parameter or
field that is needed from now on, another type, a narrower bound. What breaks stands in the changelog
under the heading of the version that brings it (the topmost), as `BREAKING: DIALECT OPERATION-ID`.
"""

import json
import pathlib
import re
import sys

METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
LOWER = ("minimum", "minLength", "minItems")
UPPER = ("maximum", "maxLength", "maxItems")


def resolve(document, value):
    while isinstance(value, dict) and "$ref" in value:
        found = document
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        value = found
    return value or {}


def operations(document):
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


class Comparison:
    """Of one operation in two documents; `say` takes what breaks."""

    def __init__(self, old, new, say):
        self.old, self.new, self.say, self.seen = old, new, say, set()

    def operation(self, old, new):
        if old.get("operationId") != new.get("operationId"):
            self.say(f"is called {new.get('operationId')} now")
        if old.get("tags") != new.get("tags"):
            self.say(f"has the tag {new.get('tags')} now")
        self.security(old.get("security", []), new.get("security", []))
        self.parameters(old, new)
        self.request(resolve(self.old, old.get("requestBody")), resolve(self.new, new.get("requestBody")))
        for status, answer in old["responses"].items():
            if status not in new["responses"]:
                self.say(f"no longer answers {status}")
                continue
            here, there = resolve(self.old, answer), resolve(self.new, new["responses"][status])
            self.contents(here, there, f"answer {status}", False)
            before, after = ({name.lower() for name in one.get("headers", {})} for one in (here, there))
            for name in before - after:
                self.say(f"answer {status} no longer has the header {name}")

    def security(self, old, new):
        ways = {json.dumps(way, sort_keys=True) for way in new}
        # No way at all is the way of strangers.
        if not old and ways and "{}" not in ways:
            self.say("needs a credential now")
        for way in old:
            if ways and json.dumps(way, sort_keys=True) not in ways:
                self.say(f"no longer takes {', '.join(way) or 'strangers'}")

    def parameters(self, old, new):
        def of(document, operation):
            found = (resolve(document, one) for one in operation.get("parameters", []))
            return {(one["in"], one["name"]): one for one in found}

        before, after = of(self.old, old), of(self.new, new)
        for key in before.keys() - after.keys():
            self.say(f"no longer takes {key[1]} in its {key[0]}")
        for key, one in after.items():
            known = before.get(key)
            if one.get("required") and not (known and known.get("required")):
                self.say(f"needs {key[1]} in its {key[0]}")
            if known:
                self.schema(known["schema"], one["schema"], key[1], True)

    def request(self, old, new):
        if new.get("required") and not old.get("required"):
            self.say("needs a body now")
        self.contents(old, new, "request", True)

    def contents(self, old, new, where, is_request):
        for kind, one in old.get("content", {}).items():
            if kind not in new.get("content", {}):
                self.say(f"{where} is no longer {kind}")
            else:
                self.schema(one["schema"], new["content"][kind]["schema"], where, is_request)

    def schema(self, old, new, where, is_request):
        key = (json.dumps(old), json.dumps(new), is_request)
        if key in self.seen:
            return
        self.seen.add(key)
        old, new = resolve(self.old, old), resolve(self.new, new)
        for word in ("type", "format"):
            if old.get(word) != new.get(word) and (old.get(word) or is_request):
                self.say(f"{where} has another {word}: {old.get(word)}, now {new.get(word)}")
        self.null(old, new, where, is_request)
        self.choice(old, new, where, is_request)
        self.bounds(old, new, where, is_request)
        self.fields(old, new, where, is_request)
        if "items" in old and "items" in new:
            self.schema(old["items"], new["items"], f"{where}[]", is_request)
        for word in ("allOf", "anyOf", "oneOf"):
            before, after = old.get(word, []), new.get(word, [])
            narrower, wider = len(after) < len(before), len(after) > len(before)
            if word != "allOf" and (narrower if is_request else wider):
                self.say(f"{where} has {len(after)} alternatives, not {len(before)}")
            for one, other in zip(before, after):
                self.schema(one, other, where, is_request)

    def null(self, old, new, where, is_request):
        before, after = bool(old.get("nullable")), bool(new.get("nullable"))
        if is_request and before and not after:
            self.say(f"{where} may no longer be null")
        if not is_request and after and not before:
            self.say(f"{where} may be null now")

    def choice(self, old, new, where, is_request):
        before, after = set(old.get("enum", [])), set(new.get("enum", []))
        if is_request and after and (before - after or not before):
            self.say(f"{where} no longer takes {sorted(before - after) or 'anything'}")
        if not is_request and before and (after - before or not after):
            self.say(f"{where} may be {sorted(after - before) or 'anything'} now")

    def bounds(self, old, new, where, is_request):
        if not is_request:
            return
        for word in LOWER:
            if word in new and new[word] > old.get(word, float("-inf")):
                self.say(f"{where} has a higher {word}: {new[word]}")
        for word in UPPER:
            if word in new and new[word] < old.get(word, float("inf")):
                self.say(f"{where} has a lower {word}: {new[word]}")
        if "pattern" in new and new["pattern"] != old.get("pattern"):
            self.say(f"{where} has another pattern: {new['pattern']}")
        if new.get("additionalProperties") is False and old.get("additionalProperties") is not False:
            self.say(f"{where} takes no other fields now")

    def fields(self, old, new, where, is_request):
        before, after = old.get("properties", {}), new.get("properties", {})
        needed, known = set(new.get("required", [])), set(old.get("required", []))
        for name in before.keys() - after.keys():
            self.say(f"{where}.{name} is gone")
        if is_request:
            for name in needed - known:
                self.say(f"{where}.{name} is needed now")
        else:
            for name in (known - needed) & after.keys():
                self.say(f"{where}.{name} may be missing now")
        for name in before.keys() & after.keys():
            self.schema(before[name], after[name], f"{where}.{name}", is_request)


def compare(old, new, say):
    """Calls `say(operation id, what)` for whatever breaks."""
    after = dict(operations(new))
    for name, operation in operations(old):
        identity = operation["operationId"]
        if name not in after:
            say(identity, f"{name} is gone")
        else:
            tell = lambda what, identity=identity: say(identity, what)
            Comparison(old, new, tell).operation(operation, after[name])


def named(changelog):
    """What the topmost version of a changelog names as breaking."""
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)
    newest = sections[1] if len(sections) > 1 else ""
    return set(re.findall(r"BREAKING: (\w+ \w+)", newest))


def main(old, new, changelog):
    allowed = named(pathlib.Path(changelog).read_text())
    broken = []
    for path in sorted(pathlib.Path(old).glob("*.json")):
        dialect, other = path.stem, pathlib.Path(new) / path.name
        if not other.exists():
            broken.append((f"{dialect} is", "gone"))
            continue
        before, after = (json.loads(one.read_text()) for one in (path, other))
        compare(before, after, lambda name, what: broken.append((f"{dialect} {name}", what)))
    for name, what in broken:
        print(f"{'named' if name in allowed else 'NOT NAMED'}: {name}: {what}")
    return any(name not in allowed for name, _ in broken)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
