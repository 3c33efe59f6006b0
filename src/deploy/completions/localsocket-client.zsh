#compdef localsocket-client
# Made from the table of options. Do not edit.
_arguments -s -S \
    '-c+[the address of the server]:ADDRESS:' \
    '--connect=[the address of the server]:ADDRESS:' \
    '-n+[log in under this name first]:NAME:' \
    '--name=[log in under this name first]:NAME:' \
    '--token-file=[authenticate first with the first line of this file]:file:_files' \
    '-t[send every line as text, even if it looks like a command]' \
    '--text[send every line as text, even if it looks like a command]' \
    '--to=[send every line as text to NAME only]:NAME:' \
    '--verbatim[send the input unchanged, byte for byte]' \
    '--recv-only[read no input; print lines until the connection ends]' \
    '--deaf[room mode\: receive only lines addressed to this client]' \
    '--ask=[send every line to NAME as a question and print the answers]:NAME:' \
    '--answer=[answer questions\: run COMMAND with sh for each one]:command:_cmdstring' \
    '--jobs=[with --answer\: how many commands may run at a time]:N:' \
    '--count=[exit after N printed lines, with --answer after N questions]:N:' \
    '--timeout=[exit after this time; --ask\: limit for each answer]:SECONDS:' \
    '--no-notices[do not print when clients join, leave or change their names]' \
    '--timestamps[print the time of arrival before each line]' \
    '--wait=[retry until the server is up and the name is free]:SECONDS:' \
    '--connect-timeout=[total time limit for connecting]:SECONDS:' \
    '--reconnect[connect again when the connection is lost]' \
    '--heartbeat=[send ping after this time without traffic; 0\: never]:SECONDS:' \
    '--ping[health check\: connect, send ping, exit with 0 on pong]' \
    '-h[print this text and exit]' \
    '--help[print this text and exit]' \
    '-V[print the version and exit]' \
    '--version[print the version and exit]' \
    '*:\[LINE\]...:'
