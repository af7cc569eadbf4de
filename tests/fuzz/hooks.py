"""Around each request: puts back what it has changed, and knows what 3.3.0 takes for a number."""

import base64
import json
import os
import urllib.request

import jsonschema_rs
import schemathesis
from schemathesis.core import NotSet
from schemathesis.core.failures import AcceptedNegativeData, ServerError
from schemathesis.openapi.checks import RejectedPositiveData

URL = os.environ["FUZZ_URL"]
USER, PASSWORD = os.environ["FUZZ_USER"], os.environ["FUZZ_PASSWORD"]

CHANGE_SETTINGS = {"/api/plex/config", "/api/plex/validate", "/api/settings"}


def call(path, body=None, user=USER, password=PASSWORD):
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    request = urllib.request.Request(URL + path)
    request.add_header("authorization", f"Basic {credentials}")
    if body is not None:
        request.add_header("content-type", "application/json")
        request.data = json.dumps(body).encode()
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


SETTINGS = call("/api/settings")


@schemathesis.hook
def before_add_examples(context, examples):
    """A request that succeeds, where chance would never find one."""
    operation = context.operation
    if operation.path in {"/api/plex/config", "/api/plex/validate"} and operation.method == "post":
        plex = SETTINGS["plex"]
        body = {"url": plex["server_url"], "token": plex["server_token"]}
        examples.append(operation.Case(body=body, media_type="application/json"))
    elif operation.path == "/api/plex/proxy/image":
        picture = call("/api/plex/media/recent")["media"][0]["poster"]
        examples.append(operation.Case(query={"url": picture}))


@schemathesis.hook
def before_call(context, case, kwargs):
    """No generated password is the current one, which would leave the rest of it untried."""
    if case.path == "/api/auth/update" and isinstance(case.body, dict):
        if isinstance(case.body.get("current_password"), str):
            case.body["current_password"] = PASSWORD


@schemathesis.hook
def after_call(context, case, response):
    """Everything that follows is asked of a server that can be reached, by a known user."""
    if response.status_code != 200 or response.request.method not in {"POST", "PUT"}:
        return
    if case.path == "/api/auth/toggle":
        call(case.path, {"enabled": True})
    elif case.path == "/api/auth/update":
        name, password = case.body["username"], case.body["new_password"]
        own = {"username": USER, "current_password": password, "new_password": PASSWORD}
        call(case.path, own, name, password)
    elif case.path in CHANGE_SETTINGS:
        call("/api/settings", SETTINGS)


# 500s by which 3.3.0, too, passes on what another service has said.
PASSED_ON = {
    "/api/invites/redeem": ("Failed to invite user to Plex: ",),
    "/api/oauth/plex/redeem": (
        "Failed to invite user: ",
        "Failed to redeem invite: plex.tv ",
        "No valid libraries selected",
    ),
    "/api/overseerr/users": ("VoDWisharr API error: ",),
}


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Keeps what is a finding here. None is a body that was accepted because 3.3.0 reads scalars
    leniently: `"4"` and `true` are numbers, `0` and `"yes"` booleans, seconds since 1970 times
    (docs/api.md); nor one that was refused because of a format, which counts here."""
    if isinstance(failure, ServerError):
        return not response.json()["detail"].startswith(PASSED_ON.get(case.path, ()))
    was_accepted = isinstance(failure, AcceptedNegativeData)
    if not was_accepted and not isinstance(failure, RejectedPositiveData):
        return True
    root = case.operation.schema.raw_schema
    operation = root["paths"][case.path][case.operation.method]
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    if schema is None or isinstance(case.body, NotSet):
        return True
    body = lenient(case.body, schema, root) if was_accepted else case.body
    whole = {"components": root["components"], **schema}
    return jsonschema_rs.is_valid(whole, body, validate_formats=True) != was_accepted


WORDS = dict.fromkeys(["1", "true", "t", "yes", "y", "on"], True)
WORDS |= dict.fromkeys(["0", "false", "f", "no", "n", "off"], False)


def lenient(value, schema, root):
    """`value`, with scalars of the types that the schema asks for."""
    while "$ref" in schema:
        schema = root["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    for choice in schema.get("oneOf", []) + schema.get("anyOf", []):
        if value is not None and choice.get("type") != "null":
            return lenient(value, choice, root)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        return {k: lenient(v, known.get(k, {}), root) for k, v in value.items()}
    if isinstance(value, list):
        return [lenient(v, schema.get("items", {}), root) for v in value]
    if schema.get("format") == "date-time" and isinstance(value, (int, float)):
        return "1970-01-01T00:00:00Z"
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "boolean" in kinds:
        word = value if isinstance(value, str) else str(int(value)) if value in (0, 1) else ""
        return WORDS.get(word.lower(), value)
    if ("integer" in kinds or "number" in kinds) and isinstance(value, (str, bool, float)):
        try:
            number = float(value)
        except ValueError:
            return value
        return int(number) if number.is_integer() else number
    return value
