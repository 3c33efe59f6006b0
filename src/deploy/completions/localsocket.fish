# fish: options are those of --help, everything else is a file. Installed once for each program, under its name.
set -l program (string replace -r '.*/(.*)\.fish' '$1' (status filename))
complete -c $program -a "($program --help | string match -rg '^  ....(--[a-z-]+)')"
