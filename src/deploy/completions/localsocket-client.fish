# Made from the table of options. Do not edit.
complete -c localsocket-client -f
complete -c localsocket-client -s c -l connect -x -d 'the server'
complete -c localsocket-client -s n -l name -x -d 'log in first'
complete -c localsocket-client -l token-file -r -F -d 'authenticate first, with this file\'s first line'
complete -c localsocket-client -l verbatim -d 'send lines as they are'
complete -c localsocket-client -l wait -x -d 'keep trying until the server is up, so long at most'
complete -c localsocket-client -l connect-timeout -x -d 'how long one try may take'
complete -c localsocket-client -l reconnect -d 'connect again when the connection is lost'
complete -c localsocket-client -l heartbeat -x -d 'ping after so long without traffic; 0 is never'
complete -c localsocket-client -l ping -d 'health check: connect, ping, exit 0 on pong'
complete -c localsocket-client -s h -l help -d 'print this text and exit'
complete -c localsocket-client -s V -l version -d 'print the version and exit'
