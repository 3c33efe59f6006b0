#!/usr/bin/env python3
"""Plays a short session with the real programs and draws it as recording.svg, standard library only:
`python3 src/guide/recording.py PROGRAMS`, where PROGRAMS is the directory of the programs. `--check` compares instead."""
import subprocess
import sys
from html import escape
from pathlib import Path

FILE = Path(__file__).resolve().with_name("recording.svg")
STEP = 0.9  # seconds between two lines
WIDTH, LINE, TOP, GAP = 400, 19, 44, 12  # pixels: of a pane, of a line, above the first line, between panes
SQUARER = """awk "{ print \\$1 * \\$1 }\""""


class Pane:
    """A terminal: the lines that are typed and printed, each with its place in the order of all."""

    order = 0

    def __init__(self, title):
        self.title, self.lines = title, []

    def add(self, text, typed=False):
        Pane.order += 1
        self.lines.append((Pane.order, text, typed))


class Person(Pane):
    """A terminal with a client that is typed into."""

    def __init__(self, programs, address, name):
        super().__init__(name)
        self.add(f"$ localsocket-client --name {name}", typed=True)
        command = [programs / "localsocket-client", "-c", address, "--name", name]
        self.client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def type(self, line):
        self.add(line, typed=True)
        self.client.stdin.write(line + "\n")
        self.client.stdin.flush()

    def prints(self, count=1):
        for _ in range(count):
            self.add(self.client.stdout.readline().rstrip("\n"))


def play(programs):
    server = subprocess.Popen([programs / "localsocket-server", "--mode", "room", "--listen", "127.0.0.1:0"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    started = [server]
    try:
        address = server.stdout.readline().split()[-1]
        ada = Person(programs, address, "ada")
        started.append(ada.client)
        ada.prints()
        bob = Person(programs, address, "bob")
        started.append(bob.client)
        bob.prints()
        ada.prints()
        ada.type("hello bob")
        ada.prints()
        bob.prints()
        bob.type("to:ada:only for you")
        bob.prints()
        ada.prints()
        shell = Pane("a script")
        shell.add(f"$ localsocket-client --serve squarer --answer '{SQUARER}' &", typed=True)
        client = [programs / "localsocket-client", "-c", address]
        started.append(subprocess.Popen([*client, "--serve", "squarer", "--answer", SQUARER]))
        shell.add("$ localsocket-client --ask squarer --retry 12", typed=True)
        answer = subprocess.run([*client, "--ask", "squarer", "--retry", "12"], stdout=subprocess.PIPE, text=True, timeout=20)
        shell.add(answer.stdout.rstrip("\n"))
        return [ada, bob], shell
    finally:
        for program in reversed(started):
            program.terminate()
            program.wait()


def pane(pane, x, y, width, rows, out):
    height = TOP + LINE * rows
    out.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" class="pane"/>')
    out.append(f'<text x="{x + 12}" y="{y + 20}" class="title">{escape(pane.title)}</text>')
    for row, (order, text, typed) in enumerate(pane.lines):
        kind = "typed" if typed else "printed"
        at = f'x="{x + 12}" y="{y + TOP + LINE * row}"'
        out.append(f'<text {at} class="{kind}" style="animation-duration:{order * STEP:.1f}s">{escape(text)}</text>')
    return height


def draw(people, shell):
    total = 2 * WIDTH + GAP
    out = []
    rows = max(len(person.lines) for person in people)
    upper = max(pane(person, index * (WIDTH + GAP), 0, WIDTH, rows, out) for index, person in enumerate(people))
    height = upper + GAP + pane(shell, 0, upper + GAP, total, len(shell.lines), out)
    style = (".pane{fill:#0d1117}.title{fill:#8b949e;font-weight:bold}.typed{fill:#79c0ff}.printed{fill:#e6edf3}"
             "text{font:13px ui-monospace,Menlo,Consolas,monospace;white-space:pre}"
             ".typed,.printed{animation-name:hidden}@keyframes hidden{from,to{opacity:0}}")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height}" width="{total}" role="img" '
            f'aria-label="two people in a room, and a question that is answered">\n<style>{style}</style>\n'
            + "\n".join(out) + "\n</svg>\n")


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--check"]
    drawn = draw(*play(Path(arguments[0] if arguments else "target/release")))
    if "--check" not in sys.argv:
        FILE.write_text(drawn)
    elif FILE.read_text() != drawn:
        sys.exit(f"{FILE.name} does not show what the programs do: run `make recording`")


main()
