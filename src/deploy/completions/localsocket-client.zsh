#compdef localsocket-client
# Made from the table of options. Do not edit.
_arguments -s -S \
    '-c+[the server]:ADDRESS:' \
    '--connect=[the server]:ADDRESS:' \
    '-n+[log in first]:NAME:' \
    '--name=[log in first]:NAME:' \
    '--token-file=[authenticate first, with this file'\''s first line]:file:_files' \
    '--verbatim[send lines as they are]' \
    '--wait=[keep trying until the server is up, so long at most]:SECONDS:' \
    '--connect-timeout=[how long one try may take]:SECONDS:' \
    '--reconnect[connect again when the connection is lost]' \
    '--heartbeat=[ping after so long without traffic; 0 is never]:SECONDS:' \
    '--ping[health check\: connect, ping, exit 0 on pong]' \
    '-h[print this text and exit]' \
    '--help[print this text and exit]' \
    '-V[print the version and exit]' \
    '--version[print the version and exit]' \
    '*:\[LINE\]...:'
