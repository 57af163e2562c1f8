# Waits until standard input ends, which is when the process at its other end has
# let go of it or is gone. Kills the process groups that the pid files in folder $1
# still name, and removes the folder $2.
cat >/dev/null
for file in "$1"/*.pid; do
	if [ -f "$file" ]; then
		kill -s KILL -- "-$(cat "$file")" 2>/dev/null
	fi
done
rm -rf "$2"
