# Copyright: the vaultgram authors
# Apache-2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""The few things our modules ask of Vault's API, by the standard library alone."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request


class VaultError(Exception):
    """Vault refused, or could not be reached. Holds no secret."""


class Vault:
    """One Vault or OpenBao."""

    def __init__(self, address, ca_file=None, token=None, timeout=30):
        self.address = address.rstrip("/")
        self.token = token
        self.timeout = timeout
        self.context = ssl.create_default_context(cafile=ca_file) if ca_file else None

    def ask(self, method, path, data=None, token=None):
        """The answer's JSON; None where there is no such thing."""
        request = urllib.request.Request(
            "{0}/v1/{1}".format(self.address, path),
            data=None if data is None else json.dumps(data).encode(),
            method=method,
            headers={"X-Vault-Request": "true", "Content-Type": "application/json"},
        )
        token = token or self.token
        if token:
            request.add_header("X-Vault-Token", token)
        try:
            with urllib.request.urlopen(
                request, timeout=self.timeout, context=self.context
            ) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 404 and method == "GET":
                return None
            raise VaultError(
                "{0} {1}: {2} {3}".format(method, path, error.code, self._errors(error))
            ) from error
        except OSError as error:
            raise VaultError("{0}: {1}".format(self.address, error)) from error
        return json.loads(text) if text else {}

    @staticmethod
    def _errors(error):
        try:
            return "; ".join(json.loads(error.read())["errors"]) or error.reason
        except (ValueError, KeyError, TypeError):
            return error.reason
