# compose.yaml and compose-join.yaml as they stand; then what clients see while the parts of a joined room fail, which is
# what the table of the guide says (src/guide/machines.md).

password=src/deploy/redis/join-password
file=
project=

composed() {
  $composer -p "$run" -f "$file" "$@"
}

compose() {
  if docker compose version >/dev/null 2>&1; then composer='docker compose'
  elif docker-compose version >/dev/null 2>&1; then composer=docker-compose
  else
    echo 'containers: SKIPPED: compose.yaml and compose-join.yaml, for there is no docker compose'
    return
  fi
  compose_up src/deploy/compose.yaml
  until_true 20 'the other container ends' composed_says hello 'hello: '
  equal 'compose.yaml: what the other container sees' "$(composed_logs hello)" \
    $'hello has joined\nhello: hello from another container'
  compose_down

  if [ ! -e $password ]; then
    made_password=yes
    head -c 18 /dev/urandom | base64 >$password
  fi
  if ! docker image inspect redis:7 >/dev/null 2>&1 && ! timeout 120 docker pull redis:7 >/dev/null 2>&1; then
    if ! command -v redis-server >/dev/null; then
      echo 'containers: SKIPPED: compose-join.yaml, for there is no redis:7 to pull, nor a redis-server to make one of'
      return
    fi
    made+=(redis:7)
    owner=redis image_of redis:7 scratch redis-server redis-cli sh sed cat
  fi
  compose_up src/deploy/compose-join.yaml
  until_true 40 'the line of the other server' composed_says listener 'hello has left'
  equal 'compose-join.yaml: what a client of the other server sees' "$(composed_logs listener)" \
    $'hello has joined\nhello: hello from another server\nhello has left'
  engine_away
  engine_away_for_long
  network_cut
  server_killed
  nobody
  compose_down
}

compose_up() {
  file=$1
  project=$run
  quietly composed up -d --no-build
}

compose_down() {
  quietly composed down -v
  project=
}

container() {
  composed ps -q "$1"
}

composed_logs() {
  docker logs "$(container "$1")" 2>&1
}

composed_says() {
  composed_logs "$1" >"$scratch/seen"
  grep -q "$2" "$scratch/seen"
}

# person NAME SERVER [ARGUMENT...]: a client that is there when this returns.
person() {
  local name=$1 server=$2
  shift 2
  rm -f "$scratch/$name"
  mkfifo "$scratch/$name"
  docker run -i --label "$run" --label "$run-people" --name "$run-$name" "${locked[@]}" \
    -v "${run}_$server:/run/localsocket" --entrypoint /localsocket-client localsocket -c $socket --wait 30 -n "$name" \
    "$@" <"$scratch/$name" >/dev/null 2>&1 3>&- 4>&- &
  case $name in
    tom) exec 3>"$scratch/$name" ;;
    gina) exec 4>"$scratch/$name" ;;
    *) : >"$scratch/$name" ;;
  esac
  until_true 30 "$name is there" sees "$name" "$name has joined"
}

nobody() {
  exec 3>&- 4>&-
  docker ps -aq --filter "label=$run-people" | xargs -r docker rm -fv >/dev/null
}

# Kate listens and tom talks in the kitchen, greg listens and gina talks in the garden.
people() {
  nobody
  person greg garden --recv-only
  person kate kitchen --recv-only
  person tom kitchen
  person gina garden
  for name in kate greg; do until_true 20 'gina is heard of' sees $name 'gina has joined'; done
}

sees() {
  docker logs "$run-$1" >"$scratch/seen" 2>/dev/null
  grep -q "$2" "$scratch/seen"
}

# hears WHAT NAME LINES: what a listener has got since gina joined; waits for the last line.
hears() {
  local last=${3:-gina has joined}
  until_true 20 "$2 gets the last line" sees "$2" "^${last##*$'\n'}\$"
  equal "$1" "$(docker logs "$run-$2" 2>/dev/null | sed '1,/^gina has joined$/d')" "$3"
}

# asks SERVER LINE: what a newcomer gets.
asks() {
  docker run --rm --label "$run" "${locked[@]}" -v "${run}_$1:/run/localsocket" --entrypoint /localsocket-client \
    localsocket -c $socket "$2" 2>/dev/null || true
}

answers() {
  asks "$1" "$2" >"$scratch/seen"
  grep -q "$3" "$scratch/seen"
}

ended() {
  field "$1" .State.Status >"$scratch/seen"
  grep -qx exited "$scratch/seen"
}

engine_away() {
  local lines=$'tom: one\ntom: two\ngina: three'
  people
  quietly composed stop engine
  printf 'one\ntwo\n' >&3
  until_true 3 'joined=no' answers kitchen stats 'joined=no'
  equal 'engine away: newcomers get who and ping' "$(asks garden who) $(asks kitchen ping)" \
    'who: gina, greg, kate, tom pong'
  sleep 3
  hears 'engine away: nothing is heard, nobody is disconnected' kate ''
  quietly composed start engine
  until_true 20 'the lines that waited' sees greg '^tom: two$'
  echo three >&4
  hears 'engine away for 3 s: every line once, in the kitchen' kate "$lines"
  hears 'engine away for 3 s: every line once, in the garden' greg "$lines"
}

engine_away_for_long() {
  local began=$SECONDS took
  quietly composed stop engine
  until_true 36 'kate is cut off' ended kate
  took=$((SECONDS - began))
  [ $took -ge 29 ] || fail "cut off after $took s"
  until_true 5 'greg is cut off' ended greg
  for name in kate greg; do
    equal "engine away for more than 30 s: $name's last words" "$(docker logs "$run-$name" 2>/dev/null | tail -n 1)" \
      'error: cut off from the other servers'
  done
  equal 'engine away for more than 30 s: newcomers' "$(asks kitchen who), $(asks garden ping)" \
    'error: not joined yet, pong'
  sleep $((40 - (SECONDS - began)))
  quietly composed start engine
  for server in kitchen garden; do until_true 10 "$server is back" answers $server who '^who: $'; done
  ok 'engine away for 40 s: newcomers are let in again'
}

network_cut() {
  local rooms=${run}_rooms kitchen began
  kitchen=$(container kitchen)
  people
  quietly docker network disconnect "$rooms" "$kitchen"
  echo four >&3
  sleep 2
  quietly docker network connect "$rooms" "$kitchen"
  hears 'network cut for 2 s: the line that waited' greg 'tom: four'
  quietly docker network disconnect "$rooms" "$kitchen"
  began=$(date +%s%N)
  hears 'network cut: names are announced as left' greg $'tom: four\nkate has left\ntom has left'
  echo "    after $((($(date +%s%N) - began) / 1000000)) ms"
  equal 'network cut: names are free' "$(asks garden who)" 'who: gina, greg'
  quietly docker network connect "$rooms" "$kitchen"
  hears 'network cut for more than 5 s: clients of the server are told' kate \
    $'tom: four\nerror: cut off from the other servers'
  until_true 10 'the kitchen is back' answers kitchen who '^who: gina, greg$'
  ok 'network cut for more than 5 s: the server joins again'
}

server_killed() {
  local began
  people
  kill -9 "$(docker inspect --format '{{.State.Pid}}' "$(container garden)")"
  began=$(date +%s%N)
  hears 'server killed: names are announced as left' kate $'gina has left\ngreg has left'
  echo "    after $((($(date +%s%N) - began) / 1000000)) ms"
  until_true 10 'greg ends' ended greg
  docker rm -f "$run-gina" >/dev/null
  exec 4>&-
  person gina garden
  hears 'server killed: its container starts again, and its names can be taken' kate \
    $'gina has left\ngreg has left\ngina has joined'
}
