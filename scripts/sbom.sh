#!/usr/bin/env bash
# Prints the bill of materials of the operator as CycloneDX JSON, from Cargo.lock: what is linked into the program, with versions,
# licences and checksums, and nothing that only tests or builds use.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v python3 >/dev/null; then
  echo "sbom: python3 is not installed" >&2
  exit 1
fi
linked=$(mktemp)
trap 'rm -f "$linked"' EXIT
cargo tree --locked --package plimsoll --edges normal --prefix none --format '{p}' --target x86_64-unknown-linux-gnu |
  awk '{print $1, substr($2, 2)}' | sort -u >"$linked"
cargo metadata --locked --format-version 1 | python3 -c '
import json, sys
linked = {tuple(line.split()) for line in open(sys.argv[1], encoding="utf-8")}
metadata = json.load(sys.stdin)
checksums, entry = {}, {}
for line in open("Cargo.lock", encoding="utf-8"):
    name, _, value = line.strip().partition(" = ")
    if name in ("name", "version", "checksum"):
        entry[name] = value.strip("\"")
    if name == "checksum":
        checksums[entry["name"], entry["version"]] = entry["checksum"]
components, product = [], None
for package in sorted(metadata["packages"], key=lambda one: (one["name"], one["version"])):
    name, version = package["name"], package["version"]
    if (name, version) not in linked:
        continue
    component = {
        "type": "library", "name": name, "version": version,
        "purl": f"pkg:cargo/{name}@{version}", "bom-ref": f"pkg:cargo/{name}@{version}",
    }
    if package.get("license"):
        component["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if (name, version) in checksums:
        component["hashes"] = [{"alg": "SHA-256", "content": checksums[name, version]}]
    if name == "plimsoll":
        product = component | {"type": "application"}
    else:
        components.append(component)
json.dump({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
           "metadata": {"component": product}, "components": components}, sys.stdout, indent=1)
print()
' "$linked"
