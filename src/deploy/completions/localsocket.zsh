#compdef localsocket-server localsocket-client localsocket-bench
# zsh: options are those of --help, everything else is a file.
_arguments '*:file:_files' --
