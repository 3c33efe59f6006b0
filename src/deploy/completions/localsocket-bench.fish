# Made from the table of options. Do not edit.
complete -c localsocket-bench -f
complete -c localsocket-bench -s c -l connect -x -d 'the server'
complete -c localsocket-bench -l work -x -a 'echo room' -d 'room: the server has to run with --mode room'
complete -c localsocket-bench -l clients -x -d 'connections, each with a thread of its own'
complete -c localsocket-bench -l senders -x -d 'room work: how many of the clients send; all receive'
complete -c localsocket-bench -l messages -x -d 'messages sent in all'
complete -c localsocket-bench -l size -x -d 'length of a message\'s text'
complete -c localsocket-bench -l depth -x -d 'messages under way on one connection'
complete -c localsocket-bench -l timeout -x -d 'how long the server may be silent'
complete -c localsocket-bench -l token-file -r -F -d 'authenticate first, with this file\'s first line'
complete -c localsocket-bench -l json -d 'print one JSON object instead of text'
complete -c localsocket-bench -s h -l help -d 'print this text and exit'
complete -c localsocket-bench -s V -l version -d 'print the version and exit'
