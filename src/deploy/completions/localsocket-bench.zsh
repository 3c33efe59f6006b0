#compdef localsocket-bench
# Made from the table of options. Do not edit.
_arguments -s -S \
    '-c+[the server]:ADDRESS:' \
    '--connect=[the server]:ADDRESS:' \
    '--work=[room\: the server has to run with --mode room]:word:(echo room)' \
    '--clients=[connections, each with a thread of its own]:N:' \
    '--senders=[room work\: how many of the clients send; all receive]:N:' \
    '--messages=[messages sent in all]:N:' \
    '--size=[length of a message'\''s text]:BYTES:' \
    '--depth=[messages under way on one connection]:N:' \
    '--timeout=[how long the server may be silent]:SECONDS:' \
    '--token-file=[authenticate first, with this file'\''s first line]:file:_files' \
    '--json[print one JSON object instead of text]' \
    '-h[print this text and exit]' \
    '--help[print this text and exit]' \
    '-V[print the version and exit]' \
    '--version[print the version and exit]'
