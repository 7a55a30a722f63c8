# Completion of pgsweep for fish. Written by "pgsweep completion fish": do not edit.

# Prints the command line's command or policy, and its subcommand, one in each line.
function __pgsweep_operands
    set -l takes
    set -l words (commandline -opc)
    for word in $words[2..-1]
        if test -n "$takes"
            set takes
            continue
        end
        switch $word
            case @valued@
                set takes $word
            case '-*'
            case '*'
                echo $word
        end
    end
end

# Is the command one of these? "-": none yet; "POLICY": the name of a policy.
function __pgsweep_is
    set -l words (__pgsweep_operands)
    set -l command -
    if set -q words[1]
        set command $words[1]
        contains -- $command @commands@
        or set command POLICY
    end
    contains -- $command $argv
end

# Is the command this one, and nothing behind it yet?
function __pgsweep_first
    set -l words (__pgsweep_operands)
    test (count $words) -eq 1
    and contains -- $words[1] $argv
end

# Is the command the first word, and its subcommand one of the others?
function __pgsweep_verb
    set -l words (__pgsweep_operands)
    test (count $words) -ge 2
    and test $words[1] = $argv[1]
    and contains -- $words[2] $argv[2..-1]
end

function __pgsweep_policies
    set -l words (commandline -opc)
    set -l dir
    for i in (seq 2 (count $words))
        if test $words[$i] = --policy-dir
            set -l at (math $i + 1)
            set dir --policy-dir $words[$at]
        else if string match -q -- '--policy-dir=*' $words[$i]
            set dir $words[$i]
        end
    end
    $words[1] list $dir 2>/dev/null | string match -r '^\S+'
end

complete -c pgsweep -f
complete -c pgsweep -n '__pgsweep_is -' -a '(__pgsweep_policies)' -d policy
@operands@
@options@
