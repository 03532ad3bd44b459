#!/usr/bin/python
# Copyright: the vaultgram authors
# Apache-2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_credential
short_description: Keeps a secret on a host as an encrypted credential of systemd's
description:
  - Encrypts with C(systemd-creds), to this host's key and its TPM where it has one, so that the file is of
    no use elsewhere. A unit reads it by C(LoadCredentialEncrypted=).
  - Where a credential is there, it is decrypted and compared, and written only where it differs.
  - The secret comes from O(content), or out of a token that Vault wrapped it in (O(wrapping)), which is
    unwrapped on the host itself, once.
attributes:
  check_mode:
    description: Compares, and says what would be written; unwraps nothing.
    support: full
  diff_mode:
    description: Never; it would show the secret.
    support: none
options:
  name:
    description: The credential's name.
    type: str
    required: true
  directory:
    description: Where it is kept.
    type: path
    default: /etc/credstore.encrypted
  content:
    description: The secret.
    type: str
  wrapping:
    description: A secret that Vault wrapped. Used only where there is no such credential, or O(replace).
    type: dict
    suboptions:
      address:
        description: Where Vault listens.
        type: str
        required: true
      ca_file:
        description: Authority that signed its certificate.
        type: path
      token:
        description: The wrapping token.
        type: str
        required: true
      made_at:
        description: Where it must have been made, such as V(auth/approle/role/vaultgram/secret-id).
        type: str
        required: true
      field:
        description: The field of what was wrapped.
        type: str
        required: true
  replace:
    description: Whether to write although there is one and it cannot be compared.
    type: bool
    default: false
  with_key:
    description: What it is encrypted to, as of C(systemd-creds --with-key=).
    type: str
    choices: [auto, host, tpm2, host+tpm2]
    default: auto
author:
  - The vaultgram authors
"""

EXAMPLES = r"""
- name: The key that replicas seal their state with
  vaultgram.deploy.host_credential:
    name: vaultgram_state_key
    content: "{{ state_key }}"
  no_log: true
"""

RETURN = r"""
path:
  description: The credential's file.
  returned: always
  type: str
"""

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vaultgram.deploy.plugins.module_utils.vault_api import Vault, VaultError

OPTIONS = {
    "address": {"type": "str", "required": True},
    "ca_file": {"type": "path"},
    "token": {"type": "str", "required": True, "no_log": True},
    "made_at": {"type": "str", "required": True},
    "field": {"type": "str", "required": True},
}


def unwrapped(module, wrapping):
    """The secret in a wrapping token that was made where it should have been."""
    vault = Vault(wrapping["address"], wrapping["ca_file"])
    token = {"token": wrapping["token"]}
    try:
        looked = vault.ask("POST", "sys/wrapping/lookup", token)["data"]
        if looked["creation_path"] != wrapping["made_at"]:
            module.fail_json(
                msg="the wrapping token was made at {0}, not at {1}: it is not the one that was sent".format(
                    looked["creation_path"], wrapping["made_at"]
                )
            )
        return vault.ask("POST", "sys/wrapping/unwrap", token=wrapping["token"])["data"][wrapping["field"]]
    except VaultError as error:
        module.fail_json(
            msg="{0}; where the token was unwrapped already, somebody else may have what was in it: "
            "destroy that in Vault, then run this again".format(error)
        )


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "directory": {"type": "path", "default": "/etc/credstore.encrypted"},
            "content": {"type": "str", "no_log": True},
            "wrapping": {"type": "dict", "options": OPTIONS},
            "replace": {"type": "bool", "default": False},
            "with_key": {
                "type": "str",
                "choices": ["auto", "host", "tpm2", "host+tpm2"],
                "default": "auto",
                "no_log": False,
            },
        },
        required_one_of=[("content", "wrapping")],
        mutually_exclusive=[("content", "wrapping")],
        supports_check_mode=True,
    )
    given = module.params
    name, path = given["name"], os.path.join(given["directory"], given["name"])
    creds = module.get_bin_path("systemd-creds", required=True)
    there = os.path.exists(path)
    if given["content"] is None:
        changed = given["replace"] or not there
    elif there:
        code, found, _error = module.run_command([creds, "decrypt", "--name=" + name, path, "-"])
        # What this host cannot decrypt is another host's, or damaged.
        changed = code != 0 or found != given["content"]
    else:
        changed = True
    if changed and not module.check_mode:
        content = given["content"]
        if content is None:
            content = unwrapped(module, given["wrapping"])
        os.makedirs(given["directory"], mode=0o700, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=given["directory"], prefix=".")
        os.close(handle)
        code, _out, error = module.run_command(
            [creds, "encrypt", "--with-key=" + given["with_key"], "--name=" + name, "-", temporary],
            data=content,
            binary_data=True,
        )
        if code != 0:
            os.unlink(temporary)
            module.fail_json(msg="systemd-creds: {0}".format(error.strip()))
        os.chmod(temporary, 0o600)
        os.replace(temporary, path)
    module.exit_json(changed=changed, path=path)


if __name__ == "__main__":
    main()
