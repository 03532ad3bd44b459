#!/usr/bin/env python3
"""Prints what is in vaultgram's binary, as a CycloneDX 1.6 SBOM: every crate that is linked on Linux, its
version, licence, checksum and what it depends on. The same sources make the same bytes."""

import json
import re
import subprocess

TARGET = "x86_64-unknown-linux-gnu"


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def locked():
    """The packages of Cargo.lock. Python reads TOML from 3.11 on, and a release is made with 3.10; cargo
    writes each package as lines of `name = "value"`."""
    with open("Cargo.lock") as file:
        packages = file.read().split("[[package]]\n")[1:]
    return [dict(re.findall(r'^(\w+) = "(.*)"$', package, re.MULTILINE)) for package in packages]


def main():
    command = ["cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={TARGET}"]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    checksums = {(it["name"], it["version"]): it.get("checksum") for it in locked()}
    packages = {package["id"]: package for package in metadata["packages"]}
    # What is needed at run time: neither by tests nor by build scripts alone.
    needs = {
        node["id"]: [
            dependency["pkg"]
            for dependency in node["deps"]
            if any(kind["kind"] is None for kind in dependency["dep_kinds"])
        ]
        for node in metadata["resolve"]["nodes"]
    }
    (root,) = [id for id, it in packages.items() if it["name"] == "vaultgram" and it["source"] is None]
    linked, open_ends = {root}, [root]
    while open_ends:
        for need in needs[open_ends.pop()]:
            if need not in linked:
                linked.add(need)
                open_ends.append(need)

    def component(id, kind):
        package = packages[id]
        checksum = checksums[package["name"], package["version"]]
        made = {
            "type": kind,
            "bom-ref": purl(package),
            "name": package["name"],
            "version": package["version"],
            "purl": purl(package),
        }
        if package["license"]:
            # Crates of old write "MIT/Apache-2.0".
            made["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        if checksum:
            made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        return made

    order = sorted(linked, key=lambda id: purl(packages[id]))
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": component(root, "application")},
        "components": [component(id, "library") for id in order if id != root],
        "dependencies": [
            {
                "ref": purl(packages[id]),
                "dependsOn": sorted({purl(packages[need]) for need in needs[id]}),
            }
            for id in order
        ],
    }
    print(json.dumps(bom, indent=2))


main()
