package cli

// aboutText is the top of the manual.
const aboutText = `Puts four concurrency controls in front of any command: pools (slots shared by all machines),
run queue limits and tag limits of runs, and the executor limits of a graph of steps. A prefix for cron lines,
Makefiles and CI jobs.

   limit pool set database 2
   limit run --pool database -- ./load.sh

Claims and limits live in a store: by default a directory of this machine, no server needed.`
