#!/usr/bin/python
# Copyright: the vaultgram authors
# Apache-2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: etcd_access
short_description: Has etcd's users, roles and their permissions be as they are described
description:
  - Adds what is missing, takes away permissions and roles that are too many of those named, and turns
    authentication on at the end. Users and roles that are not named are left alone.
  - Users have no password; a user is whoever shows a certificate with that common name.
attributes:
  check_mode:
    description: Reads, and says what would be done.
    support: full
  diff_mode:
    description: Not needed; RV(did) says it.
    support: none
options:
  endpoints:
    description: etcd's nodes.
    type: list
    elements: str
    required: true
  ca_file:
    description: Authority that signed their certificates.
    type: path
    required: true
  cert_file:
    description: Certificate of C(root).
    type: path
    required: true
  key_file:
    description: Its key.
    type: path
    required: true
  roles:
    description: Each with O(roles[].name) and O(roles[].permissions), as in C(policies/etcd/layout.json).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The role.
        type: str
        required: true
      permissions:
        description: Each with C(access) (read, write, readwrite), C(key) and C(prefix).
        type: list
        elements: dict
        required: true
  users:
    description: Each with the roles it has.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The user.
        type: str
        required: true
      roles:
        description: Its roles.
        type: list
        elements: str
        required: true
author:
  - The vaultgram authors
"""

EXAMPLES = r"""
- name: Who may do what in etcd
  vaultgram.deploy.etcd_access:
    endpoints: ["https://10.0.0.1:2379"]
    ca_file: /etc/etcd/pki/etcd-clients-ca.pem
    cert_file: /etc/etcd/pki/root.pem
    key_file: /etc/etcd/pki/root-key.pem
    roles: "{{ etcd_layout.roles }}"
    users: "{{ etcd_layout.users }}"
"""

RETURN = r"""
did:
  description: The commands that were, or would be, given.
  returned: always
  type: list
  elements: str
"""

import base64
import json

from ansible.module_utils.basic import AnsibleModule

KINDS = {0: "read", 1: "write", 2: "readwrite"}


class Etcd:
    """etcdctl, as root."""

    def __init__(self, module):
        given = module.params
        self.module = module
        self.did = []
        self.command = [
            module.get_bin_path("etcdctl", required=True),
            "--endpoints=" + ",".join(given["endpoints"]),
            "--cacert=" + given["ca_file"],
            "--cert=" + given["cert_file"],
            "--key=" + given["key_file"],
        ]
        self.environment = {"ETCDCTL_API": "3"}

    def run(self, *words):
        code, out, error = self.module.run_command(
            self.command + list(words), environ_update=self.environment
        )
        if code != 0:
            self.module.fail_json(msg="etcdctl {0}: {1}".format(" ".join(words), (error or out).strip()))
        return out

    def read(self, *words):
        return json.loads(self.run(*(words + ("--write-out=json",))))

    def do(self, *words):
        self.did.append(" ".join(words))
        if not self.module.check_mode:
            self.run(*words)


def permissions(role):
    """Of a role as etcd tells it: access, first key, and end of the range."""
    text = lambda value: base64.b64decode(value or "").decode()  # noqa: E731
    return {
        (KINDS[found.get("permType", 0)], text(found.get("key")), text(found.get("range_end")))
        for found in role.get("perm") or []
    }


def wanted(permission):
    """Of a role as it is described, likewise."""
    key = permission["key"]
    end = key[:-1] + chr(ord(key[-1]) + 1) if permission.get("prefix") else ""
    return (permission["access"], key, end)


def arrange(etcd, given):
    """Roles first, then users, then authentication."""
    roles = etcd.read("role", "list").get("roles") or []
    for role in given["roles"]:
        name, want = role["name"], {wanted(one) for one in role["permissions"]}
        have = set()
        if name in roles:
            have = permissions(etcd.read("role", "get", name))
        else:
            etcd.do("role", "add", name)
        for _access, key, end in sorted(have - want):
            etcd.do("role", "revoke-permission", name, key, *([end] if end else []))
        for access, key, end in sorted(want - have):
            etcd.do("role", "grant-permission", name, access, key, *([end] if end else []))
    users = etcd.read("user", "list").get("users") or []
    for user in given["users"]:
        name, have = user["name"], set()
        if name in users:
            have = set(etcd.read("user", "get", name).get("roles") or [])
        else:
            etcd.do("user", "add", name, "--no-password")
        for role in sorted(have - set(user["roles"])):
            etcd.do("user", "revoke-role", name, role)
        for role in sorted(set(user["roles"]) - have):
            etcd.do("user", "grant-role", name, role)


def enabled(etcd):
    """Whether authentication is on."""
    ask = etcd.command + ["auth", "status", "--write-out=json"]
    _code, out, _error = etcd.module.run_command(ask, environ_update=etcd.environment)
    try:
        return bool(json.loads(out).get("enabled", False))
    except ValueError:
        # etcd 3.4 has no such question. It tells by what it has against a password that nobody has.
        ask = etcd.command + ["--user=root:nobody", "get", "/", "--keys-only"]
        _code, out, error = etcd.module.run_command(ask, environ_update=etcd.environment)
        return "authentication is not enabled" not in out + error


def main():
    module = AnsibleModule(
        argument_spec={
            "endpoints": {"type": "list", "elements": "str", "required": True},
            "ca_file": {"type": "path", "required": True},
            "cert_file": {"type": "path", "required": True},
            "key_file": {"type": "path", "required": True, "no_log": False},
            "roles": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "permissions": {"type": "list", "elements": "dict", "required": True},
                },
            },
            "users": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "roles": {"type": "list", "elements": "str", "required": True},
                },
            },
        },
        supports_check_mode=True,
    )
    etcd = Etcd(module)
    arrange(etcd, module.params)
    if not enabled(etcd):
        etcd.do("auth", "enable")
    module.exit_json(changed=bool(etcd.did), did=etcd.did)


if __name__ == "__main__":
    main()
