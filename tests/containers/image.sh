# The image alone: what is in it, with whom it talks, what it is limited to, and how its containers end.

socket=unix:/run/localsocket/hub.sock
locked=(--read-only --cap-drop ALL --network none)

# hub NAME [OPTION...] -- [ARGUMENT...]: a server, on a volume of its name, that listens when this returns.
hub() {
  local name=$1 options=() address
  shift
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  [ $# -gt 0 ] || set -- --mode room --listen $socket
  volume "$name"
  start "$name" "${locked[@]}" -v "$run-$name:/run/localsocket" "${options[@]}" localsocket "$@"
  until_true 10 "$name listens" listens "$name"
}

listens() {
  docker logs "$run-$1" >"$scratch/seen" 2>&1
  grep -q '^listening on ' "$scratch/seen"
}

# client NAME [OPTION...] -- [ARGUMENT...]: runs a client in the foreground, on the volume of the server NAME.
client() {
  local name=$1 options=()
  shift
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  docker run --rm --label "$run" "${locked[@]}" -v "$run-$name:/run/localsocket" "${options[@]}" \
    --entrypoint /localsocket-client localsocket -c $socket "$@" 2>&1
}

# refused NAME WHAT [OPTION...]: a client with these options may not connect.
refused() {
  local said
  if said=$(client "$1" "${@:3}" -- ping); then fail "$2 is let in: $said"; fi
  grep -q 'no permission' <<<"$said" || fail "$2: $said"
  ok "$2 is refused"
}

let_in() {
  equal "$2 is let in" "$(client "$1" "${@:3}" -- ping)" pong
}

healthy() {
  field "$1" .State.Health.Status >"$scratch/seen"
  grep -qx "${2:-healthy}" "$scratch/seen"
}

# stopped NAME WHAT CODE...: `docker stop` ends it within a second with one of the exit codes, never by SIGKILL (137).
stopped() {
  local took code
  took=$(milliseconds docker stop "$run-$1")
  code=$(field "$1" .State.ExitCode)
  [[ " ${*:3} " = *" $code "* ]] || fail "docker stop, $2: exit code $code after $took ms: $(docker logs "$run-$1" 2>&1)"
  [ "$took" -lt "${most:-1000}" ] || fail "docker stop, $2: $took ms"
  ok "docker stop, $2: $took ms, exit code $code"
  remove "$1"
}

contents() {
  local files size most
  files=$(docker save localsocket | tar -xO --wildcards '*/layer.tar' | tar -ti | grep -v '/$' | sort | xargs)
  equal 'the image holds the two programs and nothing else' "$files" 'localsocket-client localsocket-server'
  size=$(docker image inspect --format '{{.Size}}' localsocket)
  most=2500000
  if grep -aq 'GNU C Library' target/static/localsocket-server; then most=4000000; fi
  [ "$size" -le $most ] || fail "the image takes $size bytes, more than $most"
  ok "the image takes $size bytes (allowed: $most)"
}

users() {
  hub plain --health-interval 1s --
  until_true 20 'the health check' healthy plain
  ok 'the health check turns healthy, read-only, without capabilities and without a network'
  equal 'a client of another container talks through the volume' "$(client plain -- -n ada hello)" \
    $'ada has joined\nada: hello'
  refused plain 'another user (600)' -u 4711:4711
  refused plain 'another user of its group (600)' -u 4711:65534
  refused plain 'root without capabilities (600)' -u 0:0
  hub group -- --mode room --listen $socket --unix-mode 660
  refused group 'a user of another group (660)' -u 4711:4711
  let_in group 'another user of its group (660)' -u 4711:65534
  let_in group 'a user with that group added (660)' -u 4711:4711 --group-add 65534
  hub all -- --mode room --listen $socket --unix-mode 666
  let_in all 'a user without a name (666)' -u 4711:4711
  volume other --opt type=tmpfs --opt device=tmpfs --opt o=uid=4711,mode=755
  hub other -u 4711:4711 --
  let_in other 'the user without a name that the server runs as' -u 4711:4711
  refused other 'the user of the image, with a server of another user' -u 65534:65534
  logs plain
  remove plain group all other
}

# The log is on stderr, a line for an event; stdout has the addresses alone.
logs() {
  local name=$run-$1 odd
  equal 'docker logs: stdout' "$(docker logs "$name" 2>/dev/null)" "listening on $socket"
  docker logs "$name" >/dev/null 2>"$scratch/log"
  odd=$(grep -vE '^\[[0-9-]{10}T[0-9:]{8}Z (INFO |WARN )\] [[:print:]]+$' "$scratch/log" || true)
  equal 'docker logs: stderr is one dated line for each event' "$odd" ''
  equal 'docker logs: a client is named by its user, health checks are not logged' \
    "$(sed -n 's/^[^]]*\] \(client\)/\1/; s/[0-9.]* s:/_ s:/; s/client [0-9]*/client _/; s/ pid [0-9]*,//; /^client/p' "$scratch/log")" \
    "client _ (unix, uid 65534) has joined as ada
client _ (ada, unix, uid 65534) has left after _ s: peer closed; 3 lines (26 bytes) in, 3 lines (34 bytes) out"
}

network() {
  quietly docker network create --internal --label "$run" "$run-net"
  start tcp --read-only --cap-drop ALL --network "$run-net" --network-alias hub localsocket --mode room \
    --listen 0.0.0.0:12345 --allow-remote
  equal 'a container of the same network talks over TCP to the name of the other' \
    "$(docker run --rm --label "$run" --network "$run-net" --entrypoint /localsocket-client localsocket \
      --wait 10 -c hub:12345 -n ada hello 2>&1)" $'ada has joined\nada: hello'
  stopped tcp 'server on TCP' 0
}

# crowd NAME SCRIPT: a container that runs a script with the programs, as the user of the server NAME.
crowd() {
  start "$1-crowd" --network none -u 65534:65534 -v "$run-$1:/run/localsocket" -e LOCALSOCKET_CONNECT=$socket \
    --entrypoint sh "$tools" -c "$2"
}

# says NAME PATTERN [TIMES]: whether it is in what the container has written.
says() {
  docker logs "$run-$1" >"$scratch/seen" 2>&1
  [ "$(grep -cE "$2" "$scratch/seen")" -ge "${3:-1}" ]
}

replies() {
  client "$1" -- "$2" >"$scratch/seen" || true
  grep -q "$3" "$scratch/seen"
}

limits() {
  hub small --memory 16m --memory-swap 16m --pids-limit 64 -- --mode room --listen $socket --max-clients 48 \
    --max-line 4096 --max-backlog 65536
  crowd small '
    for i in $(seq 30); do (localsocket-client --recv-only | sleep 60) & done
    for i in $(seq 17); do (localsocket-client --recv-only --no-notices --count 20000 >/dev/null && echo all) & done
    until [ -e /tmp/go ]; do sleep 0.1; done | localsocket-client
    i=0
    text=$(seq -s " " 250)
    while [ $i -lt 20000 ]; do i=$((i + 1)); echo "$i $text"; done | localsocket-client -t -n flood >/dev/null
    wait'
  until_true 20 'a full house of 48 clients' replies small ping 'server is full (48 clients)'
  quietly docker exec "$run-small" /localsocket-client --ping -c $socket
  ok '16 MiB and 64 tasks: 48 clients, a newcomer is told that the server is full, and the health check passes'
  quietly docker exec "$run-small-crowd" sh -c ': >/tmp/go'
  until_true 60 'all lines at the readers' says small-crowd '^all$' 17
  until_true 20 'the readers that have stopped are gone' replies small stats 'evicted=30'
  equal '16 MiB: 20 MB through 30 readers that have stopped, and 17 others get every line' \
    "$(field small .State.Running) $(field small .State.OOMKilled)" 'true false'

  hub tasks --pids-limit 64 --
  crowd tasks 'for i in $(seq 100); do localsocket-client --recv-only & done; wait'
  until_true 20 'a refusal for want of tasks' replies tasks ping 'server is full'
  equal '64 tasks for 100 clients: each is let in or told that the server is full' \
    "$(sleep 2; docker logs "$run-tasks-crowd" 2>&1 | grep -c 'server is full')" 40
  remove tasks-crowd
  until_true 2 'a place that is free again' replies tasks ping pong
  ok '64 tasks: when clients have gone, newcomers are let in'
  remove small small-crowd tasks
}

# Whether no orphan runs any more below process 1. (`docker top` leaves out dead ones that nobody has collected.)
no_orphan_runs() {
  ps -o stat=,args= --ppid "$(field "$1" .State.Pid)" >"$scratch/seen" || true
  ! grep -q '^[^Z].*sleep 0.5$' "$scratch/seen"
}

zombies() {
  local name dead
  volume zombies
  start server -v "$run-zombies:/run/localsocket" "$tools"
  start client -v "$run-zombies:/run/localsocket" --entrypoint localsocket-client "$tools" -c $socket --wait 10 -n cat \
    --answer cat
  start other --entrypoint sleep "$tools" 60
  # The last one shows that dead ones are seen.
  for name in server client other; do
    for _ in 1 2 3; do quietly docker exec "$run-$name" sh -c '(sleep 0.5 >/dev/null 2>&1 &)'; done
    until_true 5 'the end of the orphans' no_orphan_runs $name
    dead=$(grep -c '^Z' "$scratch/seen" || true)
    equal "process 1, $name: orphans that it has not collected" "$dead" "$([ $name = other ] && echo 3 || echo 0)"
  done
  remove server client other
}

# Process 1 takes signals once it has started the program below itself; before, the kernel throws them away.
runs_below() {
  ps -o args= --ppid "$(field mode .State.Pid)" >"$scratch/seen"
}

# mode WHAT CODES [ARGUMENT...]: a client stops at `docker stop`, and what it prints shows that it was at work.
mode() {
  local what=$1 codes=$2
  shift 2
  start mode -i "${locked[@]}" -v "$run-stops:/run/localsocket" --entrypoint /localsocket-client "${image:-localsocket}" \
    -c $socket "$@"
  if [ -n "${sign:-}" ]; then until_true 10 "$what is at work" says "${where:-stops}" "$sign"
  else until_true 10 "$what is at work" runs_below; fi
  stopped mode "$what" $codes
}

stops() {
  hub stops --
  local sign image most
  sign='joined as ada' mode 'client, --recv-only' '0 143' -n ada --recv-only
  sign='joined as bob' mode 'client, stdin open' '0 143' -n bob
  sign='joined as eve' mode 'client, --reconnect' '0 143' -n eve --reconnect
  mode 'client, --wait for a server that is not there' '0 143' --wait 60 -c unix:/run/localsocket/none.sock
  mode 'client, --reconnect to a server that is not there' '0 143' --wait 60 --reconnect -c unix:/run/localsocket/none.sock
  sign='joined as cyd' mode 'client, --timeout' '0 143' -n cyd --timeout 60
  image=$tools
  sign='joined as dan' mode 'client, --answer' 0 -n dan --answer cat
  start slow -u 65534:65534 --network none -v "$run-stops:/run/localsocket" --entrypoint /localsocket-client "$tools" \
    -c $socket -n slow --answer 'echo >&2 asked; sleep 60'
  until_true 10 'slow joins' says stops 'joined as slow'
  image=
  sign='asked' where=slow mode 'client, --ask with an open question' '0 143' --ask slow --timeout 60 question
  most=7500 stopped slow 'client, --answer while COMMAND runs (5 s, SIGTERM, 1 s, SIGKILL)' 0
  image=
  start stays "${locked[@]}" -v "$run-stops:/run/localsocket" --entrypoint /localsocket-client localsocket -c $socket \
    -n stays --recv-only
  until_true 10 'stays joins' says stops 'joined as stays'
  stopped stops 'server, a room with a client' 0
  until_true 5 'last words' says stays 'server is shutting down'
  equal 'the client of a server that stops: last words and exit code' \
    "$(docker logs "$run-stays" 2>/dev/null | tail -n 1) $(field stays .State.ExitCode)" 'error: server is shutting down 0'
  hub echo -- --listen $socket
  stopped echo 'server, echo' 0
  hub alone -- --mode room --listen $socket --join redis://nobody
  stopped alone 'server, --join without an engine' 0
}

# The pod of kubernetes.yaml, its containers started as the engine's own. What a kubelet adds is not tried.
pod() {
  local manifest=src/deploy/kubernetes.yaml
  if ! python3 -c 'import yaml' 2>/dev/null; then
    echo "containers: SKIPPED: $manifest, for there is no PyYAML to read it"
    return
  fi
  if python3 -c 'import kubernetes_validate' 2>/dev/null; then
    quietly python3 -m kubernetes_validate --strict $manifest
    ok 'kubernetes.yaml: a pod by the schema of Kubernetes'
  fi
  # As an emptyDir is, with fsGroup.
  volume sockets --opt type=tmpfs --opt device=tmpfs --opt o=mode=2777,gid=65534
  eval "$(python3 $here/pod.py $manifest "$run")"
  quietly docker exec "$run-hub" /localsocket-client -c $socket -n ada hello
  until_true 5 'the last line' says app 'ada has left'
  equal 'kubernetes.yaml: the other container prints what is said' "$(docker logs "$run-app" 2>&1)" \
    $'app has joined\nada has joined\nada: hello\nada has left'
  stopped app 'kubernetes.yaml: app' 0 143
  stopped hub 'kubernetes.yaml: hub' 0
}

inside() {
  docker exec "$run-$1" "${@:3}" >"$scratch/seen" 2>&1
}

# probed NAME PROBE COMMAND...
probed() {
  until_true 10 "$2 of $1" inside "$@"
  ok "kubernetes.yaml: $2 of $1"
}
