"""What the host's kernel offers the engine: processes, name spaces, seccomp, ptrace."""
