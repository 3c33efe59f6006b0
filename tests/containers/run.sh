#!/usr/bin/env bash
# Tries in a container engine what the documents say of containers: `make containers`. Containers, volumes, networks and
# images are the run's own and are removed at its end, whatever it finds. Says in one line what it has to skip.
# Arguments are the parts to try: contents users network limits zombies stops pod compose (all).
#
# - `prelude.sh`: how a check is made
# - `image.sh`: the image, its users, its limits, and how its containers stop
# - `pod.py`: the pod of kubernetes.yaml as containers of this engine
# - `joined.sh`: compose.yaml, and compose-join.yaml while its parts fail
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/containers
. $here/prelude.sh
. $here/image.sh
. $here/joined.sh

engine=$(docker version --format '{{.Server.Version}}' 2>/dev/null) || skip 'no container engine answers `docker version`'
echo "engine $engine, cgroup v$(docker info --format '{{.CgroupVersion}}' 2>/dev/null)"
trap 'clean_up $?' EXIT
make -s image >"$scratch/build" 2>&1 || fail "make image: $(tail -n 20 "$scratch/build")"
[ "$(docker images -q localsocket)" = "$before" ] || made+=("$(docker images -q localsocket)")
image_of "$tools" localsocket sh cat seq sleep
for part in ${*:-contents users network limits zombies stops pod compose}; do $part; done
echo "containers: all $checks checks passed"
