"""Programs that a kernel's own interpreter runs to say what is installed for it, as JSON."""

from __future__ import annotations

PYTHON = """
import importlib.metadata as m, json, platform
packages = {d.metadata["Name"]: d.version for d in m.distributions() if d.metadata["Name"]}
print(json.dumps({"version": platform.python_version(), "packages": packages}))
"""

# What npm has installed globally, wherever that is for this user.
NODE = """
const fs = require("fs"), path = require("path"), { execSync } = require("child_process");
const packages = {};
function add(directory) {
  let names = [];
  try { names = fs.readdirSync(directory); } catch (e) { return; }
  for (const name of names) {
    if (name.startsWith("@")) { add(path.join(directory, name)); continue; }
    try {
      const found = JSON.parse(fs.readFileSync(path.join(directory, name, "package.json")));
      packages[found.name] = found.version;
    } catch (e) { }
  }
}
try {
  add(execSync("npm root -g", { stdio: ["ignore", "pipe", "ignore"] }).toString().trim());
} catch (e) { }
console.log(JSON.stringify({ version: process.versions.node, packages }));
"""
