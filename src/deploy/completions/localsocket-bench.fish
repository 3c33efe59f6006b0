# Made from the table of options. Do not edit.
complete -c localsocket-bench -f
complete -c localsocket-bench -s c -l connect -x -d 'the address of the server'
complete -c localsocket-bench -l work -x -a 'echo room ask' -d 'what to measure; room and ask need a server with --mode room'
complete -c localsocket-bench -l clients -x -d 'number of connections, each with its own thread'
complete -c localsocket-bench -l senders -x -d 'how many of the clients send (room work) or ask (ask work)'
complete -c localsocket-bench -l messages -x -d 'messages or questions in total'
complete -c localsocket-bench -l size -x -d 'length of the text of a message or question'
complete -c localsocket-bench -l depth -x -d 'messages or questions under way on one connection'
complete -c localsocket-bench -l timeout -x -d 'fail if the server does not respond for SECONDS'
complete -c localsocket-bench -l token-file -r -F -d 'authenticate with the first line of this file'
complete -c localsocket-bench -l json -d 'print one JSON object instead of text'
complete -c localsocket-bench -s h -l help -d 'print this text and exit'
complete -c localsocket-bench -s V -l version -d 'print the version and exit'
