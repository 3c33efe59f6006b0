#compdef localsocket-server
# Made from the table of options. Do not edit.
_arguments -s -S \
    '-l+[where to listen; may be repeated]:ADDRESS:' \
    '--listen=[where to listen; may be repeated]:ADDRESS:' \
    '-m+[who receives a message\: its sender, or everybody]:word:(echo room)' \
    '--mode=[who receives a message\: its sender, or everybody]:word:(echo room)' \
    '--dialect=[classic\: for clients that send no line ends]:word:(line classic)' \
    '--join=[room mode\: share the room with other servers through Redis or Valkey]:URL:' \
    '--join-password-file=[the first line of this file is the password for --join]:file:_files' \
    '--max-clients=[maximum number of connections]:N:' \
    '--max-line=[maximum length of a line, not counting its line end]:BYTES:' \
    '--max-backlog=[room mode\: maximum number of bytes that wait for one reader]:BYTES:' \
    '--stall-timeout=[room mode\: how long a reader whose backlog is full may hold up the room]:SECONDS:' \
    '--write-timeout=[echo mode\: disconnect a client that reads none of its replies for this long]:SECONDS:' \
    '--idle-timeout=[disconnect a client that has sent nothing for this long]:SECONDS:' \
    '--token-file=[clients must first send auth\:<token> with the first line of this file]:file:_files' \
    '--unix-mode=[permissions of the Unix socket file]:OCTAL:' \
    '--allow-remote[listen on addresses beyond loopback without a token]' \
    '--grace=[maximum time for a shutdown]:SECONDS:' \
    '-h[print this text and exit]' \
    '--help[print this text and exit]' \
    '-V[print the version and exit]' \
    '--version[print the version and exit]'
