#!/usr/bin/env python3
"""Networks of their own for the engine and the servers of the long run, slow and lossy ones: DELAY milliseconds for each
packet, each way, and LOSS percent of them lost. Runs COMMAND, and removes the networks after it. Needs root.

    network.py DELAY LOSS COMMAND [ARGUMENT]...

Network 0 is the engine's, 10.77.0.1; networks 1 to 3 are the servers', 10.77.N.1; `ip netns exec localsocket-N` runs a
program in one. `tc netem` would do the same where the kernel has it: here each network is a TUN device, and this program
passes the packets on."""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import threading
import time

NETWORKS = range(4)
COMMAND = "ip netns exec localsocket-"
TUNSETIFF, TUN_WITHOUT_HEADER = 0x400454CA, 0x1001


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def device(number):
    """The packets of a network: a descriptor that reads what it sends and writes what it gets."""
    space, name = f"localsocket-{number}", f"ls{number}"
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", name.encode(), TUN_WITHOUT_HEADER))
    ip("netns", "add", space)
    ip("link", "set", name, "netns", space)
    ip("-n", space, "link", "set", "lo", "up")
    ip("-n", space, "address", "add", f"10.77.{number}.1/24", "dev", name)
    ip("-n", space, "link", "set", name, "up", "txqueuelen", "1000")
    ip("-n", space, "route", "add", "default", "dev", name)
    os.set_blocking(tun, False)
    return tun


def relay(tuns, delay, loss, counts):
    waiting = []
    while True:
        timeout = max(0, waiting[0][0] - time.monotonic()) if waiting else 1
        for tun in select.select(tuns, [], [], timeout)[0]:
            for _ in range(64):
                try:
                    packet = os.read(tun, 65536)
                except BlockingIOError:
                    break
                except OSError:
                    return  # The networks have been removed.
                # IPv4 to 10.77.N.1
                if packet[0] >> 4 != 4 or packet[16:18] != b"\x0a\x4d" or packet[18] not in NETWORKS:
                    continue
                counts["packets"] += 1
                if random.random() < loss:
                    counts["lost"] += 1
                    continue
                heapq.heappush(waiting, (time.monotonic() + delay, counts["packets"], packet[18], packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, number, packet = heapq.heappop(waiting)
            try:
                os.write(tuns[number], packet)
            except BlockingIOError:
                counts["lost"] += 1


def main():
    delay, loss, command = float(sys.argv[1]) / 1000, float(sys.argv[2]) / 100, sys.argv[3:]
    counts = {"packets": 0, "lost": 0}
    try:
        tuns = [device(number) for number in NETWORKS]
        threading.Thread(target=relay, args=(tuns, delay, loss, counts), daemon=True).start()
        status = subprocess.run(command, env={**os.environ, "LOCALSOCKET_SOAK_NETWORK": COMMAND}).returncode
    finally:
        for number in NETWORKS:
            subprocess.run(["ip", "netns", "del", f"localsocket-{number}"], check=False)
    print(f"{counts['packets']} packets, {counts['lost']} lost", file=sys.stderr)
    sys.exit(status)


main()
