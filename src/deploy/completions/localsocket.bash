# bash: options are those of --help, everything else is a file.
_localsocket() {
    if [[ $2 == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(command "$1" --help | sed -n 's/^  ....\(--[a-z-]*\).*/\1/p')" -- "$2")
    fi
}
complete -o default -F _localsocket localsocket-server localsocket-client localsocket-bench
