#!/bin/sh
# Starts servers, runs localsocket-bench with a fixed set of work, and prints a table.
# Usage: suite.sh DIRECTORY, which contains the programs.
set -eu
programs=$1
directory=$(mktemp -d)
servers=
trap 'kill $servers 2>/dev/null || :; rm -rf "$directory"' EXIT
trap 'exit 1' INT TERM

# start MODE: starts a server on a free port and a Unix socket, and sets $tcp and $unix to its addresses.
start() {
    unix=unix:$directory/$1.sock
    RUST_LOG=warn "$programs/localsocket-server" --mode "$1" --listen 127.0.0.1:0 --listen "$unix" >"$directory/$1" &
    servers="$servers $!"
    "$programs/localsocket-client" --ping --wait 10 --connect "$unix" >/dev/null
    tcp=$(sed -n '1s/listening on //p' "$directory/$1")
}

# field NAME: prints that value of the line in $result.
field() {
    echo " $result" | sed "s|.* $1=\([^ ]*\).*|\1|"
}

# row ADDRESS OPTION...
row() {
    result=$("$programs/localsocket-bench" --connect "$@")
    printf '%-4s  %-4s  %7d  %7d  %5d  %10.0f  %12.0f  %8.0f  %8.0f  %8.0f\n' \
        "$(field work)" "$(field address | sed 's/^unix:.*/unix/; s/.*:.*/tcp/')" \
        "$(field clients)" "$(field senders)" "$(field depth)" \
        "$(field messages/s)" "$(field deliveries/s)" \
        "$(field p50)" "$(field p99)" "$(field p99.9)"
}

printf '%-4s  %-4s  %7s  %7s  %5s  %10s  %12s  %8s  %8s  %8s\n' \
    work over clients senders depth messages/s deliveries/s 'p50 µs' 'p99 µs' 'p99.9 µs'
start echo
for address in "$tcp" "$unix"; do
    row "$address" --clients 1 --messages 50000
    row "$address" --clients 16 --messages 300000
    row "$address" --clients 64 --messages 300000
    row "$address" --clients 1 --depth 256 --messages 4000000
    row "$address" --clients 8 --depth 256 --messages 10000000
    row "$address" --clients 64 --depth 256 --messages 10000000
done
start room
for address in "$tcp" "$unix"; do
    row "$address" --work room --clients 2 --messages 50000
    row "$address" --work room --clients 100 --messages 200000 --depth 256
    row "$address" --work room --clients 50 --senders 4 --messages 300000 --depth 256
done
