# Waits until standard input ends, which is when the process at its other end has
# gone, and kills the process groups named by the pid files in folder $1.
cat >/dev/null
for file in "$1"/*.pid; do
	if [ -f "$file" ]; then
		kill -s KILL -- "-$(cat "$file")" 2>/dev/null
	fi
done
exit 0
