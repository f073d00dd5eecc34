# bash completion for limit: asks limit itself what may follow.
_limit() {
	local IFS=$'\n' line=${COMP_LINE:0:COMP_POINT} rest word words=() origin=() i
	# bash takes a word apart at = and : ; here it is whole again.
	for ((i = 0; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		rest=${line#"${line%%[![:space:]]*}"}
		[[ $rest == "$word"* ]] || word=$rest
		if ((i > 0)) && [[ ${#rest} -eq ${#line} && -n $line ]]; then
			words[${#words[@]}-1]+=$word
		else
			words+=("$word")
			origin+=("$i")
		fi
		line=${rest#"$word"}
	done
	local whole=${words[${#words[@]}-1]} last=$word
	[[ $last == [=:] ]] && last=""
	local before=${whole%"$last"} candidate value
	COMPREPLY=()
	while IFS= read -r candidate; do
		case $candidate in
		:files)
			compopt -o filenames 2>/dev/null
			COMPREPLY=($(compgen -f -- "$last"))
			return
			;;
		":command "*)
			i=${origin[${candidate#:command } + 1]:-$COMP_CWORD}
			if ((i < COMP_CWORD)) && declare -F _command_offset >/dev/null; then
				unset IFS
				_command_offset "$i"
			elif ((i < COMP_CWORD)); then
				compopt -o filenames 2>/dev/null
				COMPREPLY=($(compgen -f -- "$last"))
			else
				COMPREPLY=($(compgen -c -- "$last"))
			fi
			return
			;;
		esac
		value=${candidate%%$'\t'*}
		[[ $value == *[=:/] ]] && compopt -o nospace 2>/dev/null
		COMPREPLY+=("$(printf %q "${value#"$before"}")")
	done < <("${words[0]}" __complete -- "${words[@]:1}" 2>/dev/null)
}
complete -F _limit limit
