# fish completion for limit: asks limit itself what may follow.
function __limit_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    for candidate in ($words[1] __complete -- $words[2..] "$word" 2>/dev/null)
        switch $candidate
            case ':files'
                __fish_complete_path "$word"
            case ':command *'
                set -l before (math (string replace ':command ' '' -- $candidate) + 2)
                if test $before -gt (count $words)
                    complete -C "$word"
                else
                    complete -C (string join ' ' -- (string escape -- $words[$before..]) "$word")
                end
            case '*'
                echo $candidate
        end
    end
end
complete -c limit -f -a '(__limit_complete)'
