# What the checks have in common. Every wait has a deadline, and a failure prints what was seen.

run=localsocket-test-$$
tools=$run-tools
scratch=$(mktemp -d)
before=$(docker images -q localsocket 2>/dev/null || true)
made=("$tools")
checks=0

skip() {
  rm -rf "$scratch"
  echo "containers: SKIPPED: $*"
  exit 0
}

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

ok() {
  checks=$((checks + 1))
  echo "ok  $*"
}

clean_up() {
  trap - EXIT
  if [ "$1" != 0 ]; then echo "containers: FAILED after $checks checks" >&2; fi
  exec 3>&- 4>&- 5>&-
  docker ps -aq --filter "label=$run" | xargs -r docker rm -fv >/dev/null
  if [ -n "${project:-}" ]; then composed down -v >/dev/null 2>&1 || true; fi
  docker volume ls -q --filter "label=$run" | xargs -r docker volume rm >/dev/null
  docker network ls -q --filter "label=$run" | xargs -r docker network rm >/dev/null
  # An image of that name that was there before keeps its name.
  if [ -n "$before" ]; then docker tag "$before" localsocket; fi
  docker rmi "${made[@]}" >/dev/null 2>&1 || true
  if [ -n "${made_password:-}" ]; then rm -f "$password"; fi
  rm -rf "$scratch"
  exit "$1"
}

# image_of TAG BASE PROGRAM...: an image of programs of this machine and the libraries that they need.
image_of() {
  local tag=$1 base=$2 root=$scratch/image/root program path
  shift 2
  rm -rf "$root"
  mkdir -p "$root/bin" "$root/etc" "$root/tmp" "$scratch/image/data"
  chmod 1777 "$root/tmp"
  cp /etc/passwd /etc/group "$root/etc"
  for program in "$@"; do
    path=$(command -v "$program")
    cp -L "$path" "$root/bin/"
    ldd "$path" | grep -o '/[^ ]*' | while read -r library; do
      mkdir -p "$root${library%/*}"
      cp -L "$library" "$root$library"
    done
  done
  printf 'FROM %s\nENV PATH=/:/bin\nCOPY root /\nCOPY --chown=%s data /data\n' "$base" "${owner:-root}" | quietly docker build -t "$tag" -f - "$scratch/image"
}

quietly() {
  "$@" >"$scratch/output" 2>&1 || fail "$*: $(cat "$scratch/output")"
}

# start NAME [OPTION...] IMAGE [ARGUMENT...]: a container in the background.
start() {
  local name=$1
  shift
  quietly docker run -d --label "$run" --name "$run-$name" "$@"
}

# volume NAME [OPTION...]: does nothing if it is there.
volume() {
  quietly docker volume create --label "$run" "${@:2}" "$run-$1"
}

remove() {
  for name in "$@"; do quietly docker rm -fv "$run-$name"; done
}

field() {
  docker inspect --format "{{$2}}" "$run-$1"
}

# until_true SECONDS WHAT COMMAND...: polls.
until_true() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ $SECONDS -lt $deadline ] || fail "$what did not come true; last seen: $(cat "$scratch/seen" 2>/dev/null)"
    sleep 0.1
  done
}

equal() {
  [ "$2" = "$3" ] || fail "$1: expected and found differ
$(diff <(echo "$3") <(echo "$2"))"
  ok "$1"
}

# Milliseconds that a command takes.
milliseconds() {
  local began
  began=$(date +%s%N)
  "$@" >/dev/null
  echo $((($(date +%s%N) - began) / 1000000))
}
