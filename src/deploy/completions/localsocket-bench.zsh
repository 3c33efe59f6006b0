#compdef localsocket-bench
# Made from the table of options. Do not edit.
_arguments -s -S \
    '-c+[the address of the server]:ADDRESS:' \
    '--connect=[the address of the server]:ADDRESS:' \
    '--work=[what to measure; room and ask need a server with --mode room]:word:(echo room ask)' \
    '--clients=[number of connections, each with its own thread]:N:' \
    '--senders=[how many of the clients send (room work) or ask (ask work)]:N:' \
    '--messages=[messages or questions in total]:N:' \
    '--size=[length of the text of a message or question]:BYTES:' \
    '--depth=[messages or questions under way on one connection]:N:' \
    '--timeout=[fail if the server does not respond for SECONDS]:SECONDS:' \
    '--token-file=[authenticate with the first line of this file]:file:_files' \
    '--json[print one JSON object instead of text]' \
    '-h[print this text and exit]' \
    '--help[print this text and exit]' \
    '-V[print the version and exit]' \
    '--version[print the version and exit]'
