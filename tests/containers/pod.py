"""Prints the containers of the pod in a manifest as commands of image.sh: `start`, and `probed` for each probe."""

import shlex
import sys

import yaml

with open(sys.argv[1], encoding="utf-8") as file:
    spec = yaml.safe_load(file)["spec"]
user = spec["securityContext"]
for container in spec["containers"]:
    locked, memory = container["securityContext"], container["resources"]["limits"]["memory"]
    options = ["--network=none", f"--user={user['runAsUser']}:{user['runAsGroup']}", f"--memory={memory[:-1]}"]
    options += [f"--group-add={user['fsGroup']}", f"--read-only={locked['readOnlyRootFilesystem']}"]
    options += [f"--cap-drop={capability}" for capability in locked["capabilities"]["drop"]]
    options += [f"--security-opt=no-new-privileges={not locked['allowPrivilegeEscalation']}".lower()]
    options += [f"--env={variable['name']}={variable['value']}" for variable in container.get("env", [])]
    options += [f"--volume={sys.argv[2]}-{mount['name']}:{mount['mountPath']}" for mount in container["volumeMounts"]]
    command = container.get("command", [])
    options += [f"--entrypoint={word}" for word in command[:1]]
    name = container["name"]
    print(shlex.join(["start", name, *options, container["image"], *command[1:], *container.get("args", [])]))
    for kind, probe in container.items():
        if kind.endswith("Probe"):
            print(shlex.join(["probed", name, kind, *probe["exec"]["command"]]))
