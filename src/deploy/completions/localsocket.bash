# bash: options are those of --help, everything else is a file.
_localsocket() {
    if [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$("$1" --help | grep -oE -- '--[a-z-]+' | sort -u)" -- "$2")
    fi
}
complete -o default -F _localsocket localsocket-server localsocket-client localsocket-bench
