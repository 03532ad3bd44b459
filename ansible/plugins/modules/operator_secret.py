#!/usr/bin/python
# Copyright: the vaultgram authors
# Apache-2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: operator_secret
short_description: Keeps a secret on the controller, encrypted to the operators
description:
  - For the controller. Makes a secret, or takes one that is given, and writes it encrypted with C(age) to
    the operators' public keys, or with C(gpg) to theirs. It is never written otherwise.
  - Where the file is there already, the secret is known only with an operator's identity (O(identity)).
attributes:
  check_mode:
    description: Writes nothing; the value is known only where it can be decrypted.
    support: full
  diff_mode:
    description: Never; it would show the secret.
    support: none
options:
  path:
    description: The encrypted file.
    type: path
    required: true
  recipients:
    description: Public keys, C(age1…) or C(ssh-…), or with O(tool=gpg) ids of keys in the keyring.
    type: list
    elements: str
    required: true
  tool:
    description: What encrypts.
    type: str
    choices: [age, gpg]
    default: age
  identity:
    description: A file with an operator's private key for C(age); C(gpg) asks its agent.
    type: path
  make:
    description:
      - What to make where there is no file. V(hex) is 32 random bytes as 64 digits, V(state-key) what
        C(vaultgram state keygen) makes, V(age) an identity of age's.
    type: str
    choices: [hex, state-key, age]
  content:
    description: The secret, where it is not to be made.
    type: str
  replace:
    description: Whether to make or take a new one although the file is there; the old one is kept beside it.
    type: bool
    default: false
  needed:
    description: Whether the value must be known; where it is not and cannot be, it is left out.
    type: bool
    default: true
author:
  - The vaultgram authors
"""

EXAMPLES = r"""
- name: The key that replicas seal their state with
  vaultgram.deploy.operator_secret:
    path: secrets/state-key.age
    recipients: ["age1…"]
    make: state-key
  delegate_to: localhost
  register: state_key
  no_log: true
"""

RETURN = r"""
value:
  description: The secret, where it is known and was not given.
  returned: when it was made or decrypted
  type: str
"""

import os
import secrets
import tempfile
import time

from ansible.module_utils.basic import AnsibleModule


def encrypt(module, given, content):
    """Writes the file, all or nothing."""
    folder = os.path.dirname(given["path"]) or "."
    os.makedirs(folder, mode=0o700, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".")
    os.close(handle)
    if given["tool"] == "age":
        command = [module.get_bin_path("age", required=True), "--armor", "--output", temporary]
    else:
        command = [module.get_bin_path("gpg", required=True), "--batch", "--yes", "--trust-model", "always"]
        command += ["--armor", "--output", temporary, "--encrypt"]
    for recipient in given["recipients"]:
        command += ["--recipient", recipient]
    code, _out, error = module.run_command(command, data=content, binary_data=True)
    if code != 0:
        os.unlink(temporary)
        module.fail_json(msg="cannot encrypt {0}: {1}".format(given["path"], error.strip()))
    os.chmod(temporary, 0o600)
    if os.path.exists(given["path"]):
        os.rename(given["path"], given["path"] + time.strftime(".until-%Y%m%dT%H%M%S"))
    os.replace(temporary, given["path"])


def decrypt(module, given):
    """The secret of the file; None where it cannot be decrypted and need not."""
    if given["tool"] == "age":
        if not given["identity"]:
            if not given["needed"]:
                return None
            module.fail_json(
                msg="{0} is there, and its secret is needed: name an operator's private key "
                "(operator_identity)".format(given["path"])
            )
        command = [module.get_bin_path("age", required=True), "--decrypt", "--identity", given["identity"]]
        command.append(given["path"])
    else:
        command = [module.get_bin_path("gpg", required=True), "--batch", "--decrypt", given["path"]]
    code, out, error = module.run_command(command)
    if code == 0:
        return out
    if not given["needed"]:
        return None
    module.fail_json(msg="cannot decrypt {0}: {1}".format(given["path"], error.strip()))


def made(module, kind):
    """A new secret."""
    if kind == "hex":
        return secrets.token_hex(32)
    if kind == "state-key":
        return "state-secret:{0}\n".format(secrets.token_hex(32))
    code, out, error = module.run_command([module.get_bin_path("age-keygen", required=True)])
    if code != 0:
        module.fail_json(msg="age-keygen: {0}".format(error.strip()))
    return out


def main():
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "recipients": {"type": "list", "elements": "str", "required": True},
            "tool": {"type": "str", "choices": ["age", "gpg"], "default": "age"},
            "identity": {"type": "path"},
            "make": {"type": "str", "choices": ["hex", "state-key", "age"]},
            "content": {"type": "str", "no_log": True},
            "replace": {"type": "bool", "default": False},
            "needed": {"type": "bool", "default": True},
        },
        mutually_exclusive=[("make", "content")],
        supports_check_mode=True,
    )
    given = module.params
    if not given["recipients"]:
        module.fail_json(msg="there is nobody to encrypt {0} to: set operator_recipients".format(given["path"]))
    result = {"changed": False}
    if os.path.exists(given["path"]) and not given["replace"]:
        value = decrypt(module, given)
    elif given["content"] is None and given["make"] is None:
        if given["needed"]:
            module.fail_json(msg="{0} is not there".format(given["path"]))
        value = None
    else:
        result["changed"] = True
        value = given["content"] if given["make"] is None else made(module, given["make"])
        if not module.check_mode:
            encrypt(module, given, value)
    # What is given is known, and Ansible would not let it through.
    if value is not None and given["content"] is None:
        result["value"] = value
    module.exit_json(**result)


if __name__ == "__main__":
    main()
