# bash completion for localsocket-client. Made from the table of options. Do not edit.
_localsocket_client() {
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
        -n|--name)
            :
            ;;
        --token-file)
            compopt -o filenames 2>/dev/null
            words=$(compgen -f -- "$word")
            ;;
        --to)
            :
            ;;
        --ask)
            :
            ;;
        --answer)
            words=$(compgen -c -- "$word")
            ;;
        --jobs)
            :
            ;;
        --count)
            :
            ;;
        --timeout)
            :
            ;;
        --wait)
            :
            ;;
        --connect-timeout)
            :
            ;;
        --heartbeat)
            :
            ;;
        *)
            words=$(compgen -W '-c --connect -n --name --token-file -t --text --to --verbatim --recv-only --deaf --ask --answer --jobs --count --timeout --no-notices --timestamps --wait --connect-timeout --reconnect --heartbeat --ping -h --help -V --version' -- "$word")
            ;;
    esac
    COMPREPLY=()
    [[ -z $words ]] || mapfile -t COMPREPLY <<<"$words"
}
complete -F _localsocket_client localsocket-client
