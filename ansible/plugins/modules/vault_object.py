#!/usr/bin/python
# Copyright: the vaultgram authors
# Apache-2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vault_object
short_description: Has something of Vault's or OpenBao's be as it is described
description:
  - Reads a path of the API, compares what is there with O(data), and writes only where they differ.
  - Durations are compared by their length, so that V(1h) is V(3600).
  - Mounts and auth methods can be made and tuned, not replaced.
attributes:
  check_mode:
    description: Reads, and says what would be written.
    support: full
  diff_mode:
    description: Shows the fields that differ.
    support: full
options:
  address:
    description: Where Vault listens.
    type: str
    required: true
  ca_file:
    description: Authority that signed its certificate; the system's where left out.
    type: path
  token:
    description: A token that may read and write the path.
    type: str
    required: true
  path:
    description: The path below C(/v1/), such as V(sys/policies/acl/vaultgram).
    type: str
    required: true
  data:
    description: What is to be there. Fields that are not named are left as they are.
    type: dict
    required: true
  ignore:
    description: Fields that are written and cannot be read back.
    type: list
    elements: str
    default: []
author:
  - The vaultgram authors
"""

EXAMPLES = r"""
- name: vaultgram may do what it is for
  vaultgram.deploy.vault_object:
    address: https://vault.example.org:8200
    token: "{{ vault_run_token }}"
    path: sys/policies/acl/vaultgram
    data:
      policy: "{{ lookup('ansible.builtin.file', 'broker.hcl') }}"
"""

RETURN = r"""
differs:
  description: Names of the fields that were, or would be, written.
  returned: always
  type: list
  elements: str
"""

import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vaultgram.deploy.plugins.module_utils.vault_api import Vault, VaultError

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def plain(value):
    """A value as it can be compared: durations are seconds, lists have no order, numbers are text."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return sorted(str(plain(inner)) for inner in value)
    if isinstance(value, bool):
        return value
    text = str(value).strip()
    if re.fullmatch(r"(\d+[smhd])+", text):
        return str(sum(int(n) * SECONDS[unit] for n, unit in re.findall(r"(\d+)([smhd])", text)))
    return text


def differing(wanted, found, ignore):
    """The names of the fields of `wanted` that `found` does not have so."""
    names = []
    for name, value in wanted.items():
        if name in ignore:
            continue
        there = found.get(name)
        if isinstance(value, dict) and isinstance(there, dict):
            if differing(value, there, ignore):
                names.append(name)
        elif plain(there) != plain(value):
            names.append(name)
    return names


def read(vault, path):
    """What is at `path`; None where nothing is."""
    match = re.fullmatch(r"sys/(mounts|auth|audit)/(.+)", path)
    if match:
        # Older servers answer 400, not 404, for one mount that is not there: look at all.
        every = vault.ask("GET", "sys/" + match.group(1)) or {}
        return every.get("data", every).get(match.group(2).rstrip("/") + "/")
    answer = vault.ask("GET", path)
    return None if answer is None else answer.get("data") or {}


def main():
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str", "required": True},
            "ca_file": {"type": "path"},
            "token": {"type": "str", "required": True, "no_log": True},
            "path": {"type": "str", "required": True},
            "data": {"type": "dict", "required": True},
            "ignore": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    vault = Vault(given["address"], given["ca_file"], given["token"])
    try:
        found = read(vault, given["path"])
        differs = differing(given["data"], found or {}, given["ignore"])
        changed = found is None or bool(differs)
        if changed and not module.check_mode:
            vault.ask("POST", given["path"], given["data"])
    except VaultError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=changed,
        differs=differs,
        diff={
            "before": {name: (found or {}).get(name) for name in differs},
            "after": {name: given["data"][name] for name in differs},
        },
    )


if __name__ == "__main__":
    main()
