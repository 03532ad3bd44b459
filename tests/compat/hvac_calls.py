"""Calls hvac, the Python client of Vault, as its users do; prints what comes of each call."""

import json
import sys

import hvac
import requests_unixsocket

url, token = sys.argv[1:3]
client = hvac.Client(url=url, token=token or None, session=requests_unixsocket.Session())
kv, kv1 = client.secrets.kv.v2, client.secrets.kv.v1


def authenticated():
    # Without a token hvac says no by itself; on a socket any will do.
    with_token = hvac.Client(url=url, token=token or "any", session=requests_unixsocket.Session())
    return with_token.is_authenticated()


def wrapped():
    return client.read("secret/data/app/other", wrap_ttl="60s")["wrap_info"]["token"]


CALLS = {
    "is_authenticated": authenticated,
    "read": lambda: kv.read_secret_version("app/db", raise_on_deleted_version=True),
    "read a version": lambda: kv.read_secret_version("app/db", version=2, raise_on_deleted_version=True),
    "read a deleted one": lambda: kv.read_secret_version("app/gone", raise_on_deleted_version=True),
    "see a deleted one": lambda: kv.read_secret_version("app/gone", raise_on_deleted_version=False),
    "read none": lambda: kv.read_secret_version("app/none", raise_on_deleted_version=True),
    "read what is forbidden": lambda: kv.read_secret_version("private/key", raise_on_deleted_version=True),
    "create": lambda: kv.create_or_update_secret("app/h", {"a": "1"}),
    "cas": lambda: kv.create_or_update_secret("app/h", {"a": "2"}, cas=0),
    "patch": lambda: kv.patch("app/h", {"b": "1"}),
    "patched": lambda: kv.read_secret_version("app/h", raise_on_deleted_version=True)["data"]["data"],
    "list": lambda: kv.list_secrets("app"),
    "list none": lambda: kv.list_secrets("none"),
    "metadata": lambda: sorted(kv.read_secret_metadata("app/db")["data"]["versions"]),
    "delete": lambda: kv.delete_latest_version_of_secret("app/h"),
    "undelete": lambda: kv.undelete_secret_versions("app/h", [2]),
    "delete versions": lambda: kv.delete_secret_versions("app/h", [1]),
    "destroy": lambda: kv.destroy_secret_versions("app/h", [1]),
    "v1 read": lambda: kv1.read_secret("app/db", mount_point="legacy")["data"],
    "v1 put": lambda: kv1.create_or_update_secret("app/h", {"a": "1"}, mount_point="legacy"),
    "v1 list": lambda: kv1.list_secrets("app", mount_point="legacy"),
    "v1 delete": lambda: kv1.delete_secret("app/h", mount_point="legacy"),
    "plain read": lambda: client.read("secret/data/app/db"),
    "plain list": lambda: client.list("secret/metadata/app"),
    "plain write": lambda: client.write_data("transit/encrypt/mail", data={"plaintext": "aGk="}),
    "transit": lambda: client.secrets.transit.encrypt_data("mail", "aGk="),
    "pki": lambda: sorted(client.secrets.pki.generate_certificate("web", "x.example.org")["data"]),
    "renew no lease": lambda: client.sys.renew_lease("nosuch/x"),
    "read no lease": lambda: client.sys.read_lease("nosuch/x"),
    "revoke no lease": lambda: client.sys.revoke_lease("nosuch/x"),
    "renew_self": lambda: client.auth.token.renew_self(),
    "health": lambda: client.sys.read_health_status(),
    "is_sealed": lambda: client.sys.is_sealed(),
    "initialized": lambda: client.sys.is_initialized(),
    "leader": lambda: client.sys.read_leader_status(),
    "capabilities": lambda: client.sys.get_capabilities(["secret/data/private/key"]),
    "mounts": lambda: "secret/" in client.sys.list_mounted_secrets_engines()["data"],
    "wrap": lambda: client.read("secret/data/app/other", wrap_ttl="60s"),
    "unwrap": lambda: client.sys.unwrap(wrapped()),
    "unwrap nothing": lambda: client.sys.unwrap("junk"),
}


def outcome(call):
    try:
        result = call()
    except hvac.exceptions.VaultError as error:
        return {"raises": type(error).__name__, "errors": error.errors}
    return getattr(result, "status_code", result)


print(json.dumps({name: outcome(call) for name, call in CALLS.items()}))
