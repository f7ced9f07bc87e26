# Tab completion of `python -m flows`, for any python that runs it: `source deploy/completion.bash`, also in zsh.
if [ -n "${ZSH_VERSION:-}" ]; then autoload -Uz bashcompinit && bashcompinit; fi

_flows_completion() {
    # Other uses of python are completed as ever.
    if [ "${COMP_WORDS[*]:1:2}" != "-m flows" ]; then
        COMPREPLY=()
        return
    fi
    local IFS=$'\n'
    COMPREPLY=($(COMP_WORDS="flows ${COMP_WORDS[*]:3}" COMP_CWORD=$((COMP_CWORD - 2)) _FLOWS_COMPLETE=complete_bash \
        "${COMP_WORDS[0]}" -m flows))
}
complete -o default -F _flows_completion python python3 python3.11
