"""Reads through the socket with hvac, the Python client of Vault, and prints what it gets."""

import json
import socket
import sys

import hvac
import requests
import urllib3


class Connection(urllib3.connection.HTTPConnection):
    def _new_conn(self):
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.settimeout(30)
        stream.connect(sys.argv[1])
        return stream


class Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = Connection


class Adapter(requests.adapters.HTTPAdapter):
    def get_connection_with_tls_context(self, request, verify, proxies=None, cert=None):
        return Pool("localhost")


session = requests.Session()
session.mount("http://localhost", Adapter())
client = hvac.Client(url="http://localhost", token="any", session=session)
kv = client.secrets.kv.v2


def fails(call):
    try:
        call()
    except hvac.exceptions.VaultError as error:
        return type(error).__name__
    return None


print(
    json.dumps(
        {
            "data": kv.read_secret_version("django/database", raise_on_deleted_version=True)["data"],
            "old": kv.read_secret_version("django/database", version=1)["data"]["data"],
            "missing": fails(lambda: kv.read_secret_version("nothing")),
            "denied": fails(lambda: kv.read_secret_version("private/key")),
            "deleted": kv.read_secret_version("deleted", raise_on_deleted_version=False)["data"],
            "write": fails(lambda: kv.create_or_update_secret("x", {"a": "b"})),
            "authenticated": client.is_authenticated(),
            "self": client.lookup_token()["data"]["display_name"],
            "sealed": client.sys.read_health_status(method="GET")["sealed"],
        }
    )
)
