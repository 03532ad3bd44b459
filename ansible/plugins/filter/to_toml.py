# Copyright: the vaultgram authors
# Apache-2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Settings as TOML."""

from __future__ import annotations

import json
import re

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: to_toml
short_description: Writes a dictionary as TOML
description:
  - Dictionaries become tables, in the order of their names; what is none (null) is left out.
  - Made for C(vaultgram.toml), whose settings are text, numbers, booleans, lists and tables.
options:
  _input:
    description: The settings.
    type: dict
    required: true
author:
  - The vaultgram authors
"""

EXAMPLES = r"""
- name: The configuration
  ansible.builtin.copy:
    content: "{{ settings | vaultgram.deploy.to_toml }}"
    dest: /etc/vaultgram/vaultgram.toml
    mode: "0640"
"""

RETURN = r"""
_value:
  description: The text.
  type: str
"""


def key(name):
    """A key, quoted where it must be."""
    name = str(name)
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def scalar(value):
    """A value in one line; JSON's text is TOML's."""
    if isinstance(value, dict):
        return "{{ {0} }}".format(", ".join(key(k) + " = " + scalar(v) for k, v in sorted(value.items())))
    if isinstance(value, (list, tuple)):
        return "[{0}]".format(", ".join(scalar(one) for one in value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        return json.dumps(str(value))
    raise AnsibleFilterError("to_toml: {0} is not for TOML".format(type(value).__name__))


def table(settings, path):
    """The lines of a table, and of those below it."""
    there = {name: value for name, value in settings.items() if value is not None}
    lines = []
    for name in sorted(there):
        if not isinstance(there[name], dict):
            lines.append("{0} = {1}".format(key(name), scalar(there[name])))
    if path and (lines or not there):
        lines.insert(0, "[{0}]".format(".".join(path)))
    if lines:
        lines.append("")
    for name in sorted(there):
        if isinstance(there[name], dict):
            lines += table(there[name], path + [key(name)])
    return lines


def to_toml(settings):
    """The filter."""
    if not isinstance(settings, dict):
        raise AnsibleFilterError("to_toml: wants a dictionary")
    return "\n".join(table(settings, []))


class FilterModule:
    """Where Ansible finds it."""

    def filters(self):
        return {"to_toml": to_toml}
