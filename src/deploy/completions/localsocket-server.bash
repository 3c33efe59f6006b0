# bash completion for localsocket-server. Made from the table of options. Do not edit.
_localsocket_server() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=
    # --option=value comes as three words.
    if [[ $word == = ]]; then
        word=
    elif [[ $before == = ]]; then
        before=${COMP_WORDS[COMP_CWORD-2]}
    fi
    case $before in
        -l|--listen)
            :
            ;;
        -m|--mode)
            words=$(compgen -W 'echo room' -- "$word")
            ;;
        --dialect)
            words=$(compgen -W 'line classic' -- "$word")
            ;;
        --join)
            :
            ;;
        --join-password-file)
            compopt -o filenames 2>/dev/null
            words=$(compgen -f -- "$word")
            ;;
        --max-clients)
            :
            ;;
        --max-line)
            :
            ;;
        --max-backlog)
            :
            ;;
        --stall-timeout)
            :
            ;;
        --write-timeout)
            :
            ;;
        --idle-timeout)
            :
            ;;
        --token-file)
            compopt -o filenames 2>/dev/null
            words=$(compgen -f -- "$word")
            ;;
        --unix-mode)
            :
            ;;
        --grace)
            :
            ;;
        *)
            words=$(compgen -W '-l --listen -m --mode --dialect --join --join-password-file --max-clients --max-line --max-backlog --stall-timeout --write-timeout --idle-timeout --token-file --unix-mode --allow-remote --grace -h --help -V --version' -- "$word")
            ;;
    esac
    COMPREPLY=()
    [[ -z $words ]] || mapfile -t COMPREPLY <<<"$words"
}
complete -F _localsocket_server localsocket-server
