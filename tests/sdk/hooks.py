"""What schemathesis may not do, since nobody would be left to ask: an admin changes everybody, but
not the name under which it asks itself."""

import os
import uuid

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.operation.method.upper() not in ("PUT", "PATCH"):
        return
    if case.path_parameters.get("id") == os.environ["WHO_ID"]:
        case.path_parameters["id"] = str(uuid.uuid4())
