"""Makes excerpt.json: what GitHub publishes of the answers and webhooks that the simulated GitHub has.

GitHub describes its API in github/rest-api-description (MIT licence), version 2022-11-28. The package
githubkit-schemas-2022-11-28 (MIT licence) is made of that description; this takes out of it what we need:

    python3 -m venv /tmp/excerpt && /tmp/excerpt/bin/pip install githubkit-schemas-2022-11-28==26.10.21
    /tmp/excerpt/bin/python tests/support/github/published/excerpt.py >tests/support/github/published/excerpt.json

Stricter than what is published: a field that it does not tell of is none, and some lists are empty. Looser:
githubkit lets every field that may be missing be null too.
"""

import json
import textwrap

from githubkit_schemas.v2022_11_28 import models
from pydantic import TypeAdapter

RUN = "/repos/{owner}/{repo}/actions/runs/{run_id}"
WORKFLOW = "/repos/{owner}/{repo}/actions/workflows/{workflow_id}"
ANSWERS = {
    "GET /user 200": models.PublicUser,
    "GET /app 200": models.Integration,
    "GET /repos/{owner}/{repo}/installation 200": models.Installation,
    "POST /app/installations/{installation_id}/access_tokens 201": models.InstallationToken,
    "GET /repos/{owner}/{repo}/commits 200": list[models.Commit],
    f"POST {WORKFLOW}/dispatches 200": models.WorkflowDispatchResponse,
    f"GET {WORKFLOW}/runs 200": models.ReposOwnerRepoActionsWorkflowsWorkflowIdRunsGetResponse200,
    "GET /repos/{owner}/{repo}/actions/runs 200": models.ReposOwnerRepoActionsRunsGetResponse200,
    f"GET {RUN} 200": models.WorkflowRun,
    f"GET {RUN}/jobs 200": models.ReposOwnerRepoActionsRunsRunIdJobsGetResponse200,
    f"GET {RUN}/pending_deployments 200": list[models.PendingDeployment],
    f"POST {RUN}/pending_deployments 200": list[models.Deployment],
    f"POST {RUN}/rerun 201": models.EmptyObject,
    f"POST {RUN}/rerun-failed-jobs 201": models.EmptyObject,
    f"POST {RUN}/cancel 202": models.EmptyObject,
    "refusal": models.BasicError,
    "workflow_run requested": models.WebhookWorkflowRunRequested,
    "workflow_run in_progress": models.WebhookWorkflowRunInProgress,
    "workflow_run completed": models.WebhookWorkflowRunCompleted,
    "workflow_job waiting": models.WebhookWorkflowJobWaiting,
    "workflow_job in_progress": models.WebhookWorkflowJobInProgress,
    "workflow_job completed": models.WebhookWorkflowJobCompleted,
}

# Of what GitHub may leave out, what is simulated.
KEPT = set(
    """
    actions actor check_suite_id check_suite_node_id completed_at contents date display_title documentation_url
    email html_url id message metadata name node_id permissions previous_attempt_url private privacy
    referenced_workflows repository_selection reviewer run_attempt run_started_at slug started_at status steps
    triggering_actor type url verification verified_at
    """.split()
)
# Webhooks need not say of an account what answers must.
KEPT |= set(models.SimpleUser.model_json_schema()["required"])
# What is simulated as a list of nothing.
EMPTY = {"pull_requests", "referenced_workflows"}
# What an account is never.
NEVER = {"#/$defs/Enterprise", "#/$defs/EmptyObject"}
MOMENT = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}


def plain(schema):
    """A schema without words, and without pydantic's sign for what is left out."""
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    if schema.get("format") == "date-time":
        return {"$ref": "#/$defs/moment"}
    if "anyOf" in schema:
        some = [it for it in schema["anyOf"] if it.get("const") != "<UNSET>" and it.get("$ref") not in NEVER]
        some = [plain(it) for it in some]
        if all(list(it) == ["type"] for it in some) and len(some) > 1:
            return {"type": [it["type"] for it in some]}
        return some[0] if len(some) == 1 else {"anyOf": some}
    if schema.get("type") == "object":
        required = schema.get("required", [])
        fields = {
            name: {"type": "array", "maxItems": 0} if name in EMPTY else plain(it)
            for name, it in schema.get("properties", {}).items()
            if name in required or name in KEPT
        }
        more = schema.get("additionalProperties", False)
        return {"type": "object", "required": required, "additionalProperties": more, "properties": fields}
    for name in ("const", "enum"):
        if name in schema:
            return {name: schema[name]}
    kept = {"type": schema["type"]} if "type" in schema else {}
    return {**kept, "items": plain(schema["items"])} if "items" in schema else kept


def refs(schema):
    """The names of what a schema refers to."""
    if isinstance(schema, dict):
        own = {schema["$ref"].rpartition("/")[2]} if "$ref" in schema else set()
        return own.union(*map(refs, schema.values()))
    return set().union(*map(refs, schema)) if isinstance(schema, list) else set()


def renamed(schema, names):
    if isinstance(schema, dict):
        named = {key: renamed(it, names) for key, it in schema.items() if key != "$ref"}
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            named["$ref"] = f"#/$defs/{names.get(name, name)}"
        return named
    return [renamed(it, names) for it in schema] if isinstance(schema, list) else schema


shapes, parts = {}, {"moment": MOMENT}
for name, model in ANSWERS.items():
    schema = TypeAdapter(model).json_schema()
    parts |= {name: plain(it) for name, it in schema.pop("$defs", {}).items()}
    shapes[name] = plain(schema)

# What is the same under several names has the shortest of them.
while True:
    same = {}
    for name in sorted(parts, key=lambda name: (len(name), name)):
        same.setdefault(json.dumps(parts[name], sort_keys=True), []).append(name)
    names = {other: first for first, *others in same.values() for other in others}
    if not names:
        break
    parts = {name: renamed(it, names) for name, it in parts.items() if name not in names}
    shapes = renamed(shapes, names)

wanted, reached = refs(shapes), set()
while wanted:
    reached |= wanted
    wanted = refs([parts[name] for name in wanted]) - reached


def lines(schemas):
    for name, schema in sorted(schemas.items()):
        text = f"{json.dumps(name)}: {json.dumps(schema)}"
        yield textwrap.indent(
            textwrap.fill(text, 114, break_long_words=False, break_on_hyphens=False), "  "
        )


said = "An excerpt of github/rest-api-description (MIT licence), version 2022-11-28; made by excerpt.py"
print(f'{{"$comment": {json.dumps(said)},\n"shapes": {{')
print(",\n".join(lines(shapes)))
print('},\n"$defs": {')
print(",\n".join(lines({name: parts[name] for name in reached})))
print("}}")
