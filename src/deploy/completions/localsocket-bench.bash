# bash completion for localsocket-bench. Made from the table of options. Do not edit.
_localsocket_bench() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=
    # --option=value comes as three words.
    if [[ $word == = ]]; then
        word=
    elif [[ $before == = ]]; then
        before=${COMP_WORDS[COMP_CWORD-2]}
    fi
    case $before in
        -c|--connect)
            :
            ;;
        --work)
            words=$(compgen -W 'echo room ask' -- "$word")
            ;;
        --clients)
            :
            ;;
        --senders)
            :
            ;;
        --messages)
            :
            ;;
        --size)
            :
            ;;
        --depth)
            :
            ;;
        --timeout)
            :
            ;;
        --token-file)
            compopt -o filenames 2>/dev/null
            words=$(compgen -f -- "$word")
            ;;
        *)
            words=$(compgen -W '-c --connect --work --clients --senders --messages --size --depth --timeout --token-file --json -h --help -V --version' -- "$word")
            ;;
    esac
    COMPREPLY=()
    [[ -z $words ]] || mapfile -t COMPREPLY <<<"$words"
}
complete -F _localsocket_bench localsocket-bench
