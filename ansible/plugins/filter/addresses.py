# Copyright: the vaultgram authors
# Apache-2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Where hosts are reached."""

from __future__ import annotations

DOCUMENTATION = r"""
name: addresses
short_description: Says where others reach each of some hosts
description:
  - Of each host, the variable that is named if the host has it, else its C(ansible_host), else its name.
options:
  _input:
    description: Names of hosts, such as a group's.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of all hosts.
    type: dict
    required: true
  variable:
    description: The variable that says it otherwise.
    type: str
    required: true
author:
  - The vaultgram authors
"""

EXAMPLES = r"""
- name: Where etcd is
  ansible.builtin.debug:
    msg: "{{ groups['etcd'] | vaultgram.deploy.addresses(hostvars, 'etcd_address') }}"
"""

RETURN = r"""
_value:
  description: Addresses, in the hosts' order.
  type: list
  elements: str
"""


def addresses(hosts, hostvars, variable):
    """The filter."""
    found = []
    for host in hosts:
        its = hostvars[host]
        found.append(its.get(variable) or its.get("ansible_host") or host)
    return found


class FilterModule:
    """Where Ansible finds it."""

    def filters(self):
        return {"addresses": addresses}
