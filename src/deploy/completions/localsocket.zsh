#compdef localsocket-server localsocket-client localsocket-bench
# zsh: options are those of --help, everything else is a file.
if [[ $PREFIX == -* ]]; then
    compadd -- $(command $words[1] --help | sed -n 's/^  ....\(--[a-z-]*\).*/\1/p')
else
    _files
fi
