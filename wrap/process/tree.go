package process

import "context"

// KillTree kills root with all that descends from it and all processes with the entry mark (NAME=value, "": none) in the
// environment they were started with, again and again until none is left or ctx ends: then its error. It needs no
// parenthood: a guardian beside the wrapper uses it when the wrapper is dead. This process itself is spared.
// Without /proc (darwin) it kills root and its process group alone.
func KillTree(ctx context.Context, root int, mark string) error { panic("not yet") }
