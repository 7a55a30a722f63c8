#compdef pgsweep
# Completion of pgsweep for zsh. Written by "pgsweep completion zsh": do not edit.

_pgsweep_policies() {
    local line
    local -a names
    for line in "${(@f)$($program list ${policy_dir:+--policy-dir} ${policy_dir:+$policy_dir} 2>/dev/null)}"; do
        [[ -z $line || $line == ' '* ]] || names+=("${line%% *}")
    done
    compadd -a names
}

_pgsweep_first() {
    local -a commands
    commands=(
        @commands@
    )
    _describe command commands
    _pgsweep_policies
}

# The words after a command and its subcommand.
_pgsweep_operand() {
    local -a verbs
    case "$command $verb" in
    @operands@
    esac
}

_pgsweep() {
    local program=$words[1] command='' verb='' takes='' policy_dir='' word
    local -a options
    for word in "${(@)words[2,CURRENT-1]}"; do
        if [[ -n $takes ]]; then
            [[ $takes != --policy-dir ]] || policy_dir=${(e)~word}
            takes=''
            continue
        fi
        case $word in
        --policy-dir=*) policy_dir=${(e)~word#*=} ;;
        @valued@) takes=$word ;;
        -*) ;;
        *)
            if [[ -z $command ]]; then
                command=$word
            elif [[ -z $verb ]]; then
                verb=$word
            fi
            ;;
        esac
    done
    case $command in
    @options@
    esac
    if [[ -z $command ]]; then
        _arguments -s -S : $options '*::command or policy:_pgsweep_first'
    else
        _arguments -s -S : $options '*:argument:_pgsweep_operand'
    fi
}

if [[ $funcstack[1] == _pgsweep ]]; then
    _pgsweep "$@"
else
    compdef _pgsweep pgsweep
fi
