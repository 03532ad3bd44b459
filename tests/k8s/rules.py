#!/usr/bin/env python3
"""Says whether the PrometheusRule holds the very rules that Prometheus itself is given; `--write` makes it so."""

import sys

import yaml

RULES, MANIFEST = "monitoring/rules/vaultgram.yml", "k8s/components/monitoring/prometheus-rule.yaml"
HEAD = f"""\
# The rules of {RULES}; made by `python3 tests/k8s/rules.py --write`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: vaultgram
spec:
"""

with open(RULES) as file:
    text = file.read()
if "--write" in sys.argv:
    lines = [f"  {line}" if line.strip() and not line.startswith("#") else "" for line in text.splitlines()]
    with open(MANIFEST, "w") as file:
        file.write(HEAD + "\n".join(line for line in lines if line) + "\n")
with open(MANIFEST) as file:
    spec = yaml.safe_load(file)["spec"]
if spec != yaml.safe_load(text):
    sys.exit(f"{MANIFEST} is not {RULES}: run python3 tests/k8s/rules.py --write")
print(f"the rules of {RULES} are those of {MANIFEST}")
