#compdef localsocket-server
# Made from the table of options. Do not edit.
_arguments -s -S \
    '-l+[where to listen; may be repeated]:ADDRESS:' \
    '--listen=[where to listen; may be repeated]:ADDRESS:' \
    '-m+[who gets a message]:word:(echo room)' \
    '--mode=[who gets a message]:word:(echo room)' \
    '--dialect=[classic\: for clients that send no line ends]:word:(line classic)' \
    '--max-clients=[connections at once]:N:' \
    '--max-line=[longest line]:BYTES:' \
    '--max-backlog=[room mode\: what may wait for one reader]:BYTES:' \
    '--stall-timeout=[room mode\: how long a full reader may hold the room]:SECONDS:' \
    '--write-timeout=[echo mode\: how long a reply may wait]:SECONDS:' \
    '--idle-timeout=[close a client from which not a byte has come for so long]:SECONDS:' \
    '--token-file=[clients must send this file'\''s first line as auth\:<token>]:file:_files' \
    '--unix-mode=[permissions of a Unix socket]:OCTAL:' \
    '--allow-remote[listen beyond loopback without a token]' \
    '--grace=[how long a shutdown may take]:SECONDS:' \
    '-h[print this text and exit]' \
    '--help[print this text and exit]' \
    '-V[print the version and exit]' \
    '--version[print the version and exit]'
