# Completion of pgsweep for bash. Written by "pgsweep completion bash": do not edit.

# Prints the names of the policies: $1 is the program, as it was typed.
_pgsweep_policies() {
    "$1" list ${_pgsweep_dir:+--policy-dir "$_pgsweep_dir"} 2>/dev/null | while IFS= read -r _pgsweep_line; do
        [[ $_pgsweep_line == ' '* ]] || printf '%s\n' "${_pgsweep_line%% *}"
    done
}

_pgsweep_reply() {
    mapfile -t COMPREPLY < <("$@")
}

_pgsweep_words() {
    _pgsweep_reply compgen -W "$1" -- "$cur"
}

_pgsweep_names() {
    compopt -o filenames
    _pgsweep_reply compgen "$1" -- "$cur"
}

# The value of option $1; fails if it is no option with a value.
_pgsweep_value() {
    case $1 in
    @values@
    *) return 1 ;;
    esac
}

# The words after command $1 and subcommand $2.
_pgsweep_operand() {
    case "$1 $2" in
    @operands@
    esac
}

_pgsweep_options() {
    case $1 in
    @options@
    esac
}

_pgsweep() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local program=$1 command='' verb='' takes='' word i _pgsweep_dir=''
    if [[ $cur == = ]]; then
        cur=''
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $word == = ]]; then
            continue
        elif [[ $takes ]]; then
            [[ $takes != --policy-dir ]] || _pgsweep_dir=${word/#\~/$HOME}
            takes=''
            continue
        fi
        case $word in
        @valued@) takes=$word ;;
        -*) ;;
        *)
            if [[ ! $command ]]; then
                command=$word
            elif [[ ! $verb ]]; then
                verb=$word
            fi
            ;;
        esac
    done
    COMPREPLY=()
    if [[ $prev == -* ]] && _pgsweep_value "$prev"; then
        return
    elif [[ $cur == -* ]]; then
        _pgsweep_words "$(_pgsweep_options "$command")"
    elif [[ ! $command ]]; then
        _pgsweep_words "@commands@ $(_pgsweep_policies "$program")"
    else
        _pgsweep_operand "$command" "$verb"
    fi
}

complete -F _pgsweep pgsweep
