# Turns files into C: an array of {path, bytes, length}, for include/pgsweep/embedded.h.
# Input: text files without NUL bytes. Output: on standard output.
BEGIN { print "#include \"pgsweep/embedded.h\"\n" }
FNR == 1 {
    if (n++) print ";"
    path[n] = FILENAME
    sub(/^src\//, "", path[n])
    printf "static const char file_%d[] =\n", n
}
{
    gsub(/\\/, "&&") # each backslash twice; "\\\\" would mean one, as sub() reads it
    gsub(/"/, "\\\"")
    gsub(/\t/, "\\t")
    gsub(/\?\?/, "?\\?")
    printf "    \"%s\\n\"\n", $0
}
END {
    if (n) print ";"
    print "\nconst struct embedded_file embedded_files[] = {"
    for (i = 1; i <= n; i++) printf "    {\"%s\", file_%d, sizeof file_%d - 1},\n", path[i], i, i
    print "    {0, 0, 0},\n};"
}
